"""Memory as kernels see it: pointers, vector loads and stores, and copies from global to shared memory in the background."""

from __future__ import annotations

import operator
from typing import Any

from llvmlite import ir

from kernels.cuda import driver
from kernels.cuda.ptx_lowering import (
    I8,
    I16,
    I32,
    I64,
    VOID,
    assembly,
    element_address,
    integer,
    intrinsic,
    is_place,
    shared_address,
    types,
)  # fmt: skip

_extending = driver.extending()
REQUEST = 16  # the bytes that one thread moves with one instruction, at most


class Pointer(types.CPointer):  # pyright: ignore[reportGeneralTypeIssues]
    """The type of a kernel's parameter that points to elements of `dtype` in global memory.

    An index may be of any integer type and is widened by its own sign. A bool is a byte in memory, a bit in a register.
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__(dtype)
        self.name = f"Pointer({dtype})"


_extending.register_model(Pointer)(_extending.core_models.PointerModel)


@_extending.lower_builtin(operator.getitem, Pointer, types.Integer)
def _load(context, builder, signature, arguments):
    kind, index_kind = signature.args
    address = element_address(context, builder, kind, arguments[0], index_kind, arguments[1])
    return _value_of(builder, kind.dtype, builder.load(address))


@_extending.lower_builtin(operator.setitem, Pointer, types.Integer, types.Any)
def _store(context, builder, signature, arguments):
    kind, index_kind, value_kind = signature.args
    address = element_address(context, builder, kind, arguments[0], index_kind, arguments[1])
    value = context.cast(builder, arguments[2], value_kind, kind.dtype)
    builder.store(_data_of(builder, kind.dtype, value), address)
    return context.get_dummy_value()


def _value_of(builder, dtype, data):
    """A number in memory as one in a register."""
    return builder.icmp_unsigned("!=", data, ir.Constant(I8, 0)) if dtype == types.boolean else data


def _data_of(builder, dtype, value):
    """A number in a register as one in memory."""
    return builder.zext(value, I8) if dtype == types.boolean else value


@intrinsic
def pointer_at(typing_context, table, index, T):
    """Element `index` of an int64 table as the address of elements of type T in global memory: a `Pointer`."""
    if not is_place(table) or table.dtype != types.int64 or not isinstance(index, types.Integer):
        return None
    if not isinstance(T, types.NumberClass):
        return None
    result = Pointer(T.instance_type)

    def generate(context, builder, signature, arguments):
        address = element_address(context, builder, table, arguments[0], signature.args[1], arguments[1])
        return builder.inttoptr(builder.load(address), context.get_value_type(result))

    return result(table, types.unliteral(index), T), generate


# --- vectors ----------------------------------------------------------------------------------------------------------


class _Layout:
    """How `count` elements are moved: in how many requests, each a vector of which words, with how many elements a word.

    Bytes and 16-bit numbers travel in words of 32 bits, for vectors of them would be moved one by one.
    """

    def __init__(self, context, dtype, count):
        self.element = context.get_data_type(dtype)
        bits = context.get_abi_sizeof(self.element) * 8
        total = bits * count // 8
        self.bytes = min(total, REQUEST)
        self.requests = -(-total // REQUEST)
        self.bits = bits
        if bits >= 32:
            self.word, self.per_word = self.element, 1
            self.words = self.bytes * 8 // bits
        else:
            self.word = I16 if self.bytes == 2 else I32
            self.per_word = self.word.width // bits
            self.words = self.bytes * 8 // self.word.width
        self.request = self.word if self.words == 1 else ir.VectorType(self.word, self.words)

    def addresses(self, builder, address):
        """The address of each request."""
        start = builder.bitcast(address, ir.PointerType(self.request, address.type.addrspace))
        return [builder.gep(start, [ir.Constant(I32, k)]) for k in range(self.requests)]

    def split(self, builder, loaded):
        """The elements of one request."""
        words = [loaded]
        if self.words > 1:
            words = [builder.extract_element(loaded, ir.Constant(I32, k)) for k in range(self.words)]
        if self.per_word == 1:
            return words
        shifts = [ir.Constant(self.word, k * self.bits) for k in range(self.per_word)]
        return [builder.trunc(builder.lshr(word, shift), self.element) for word in words for shift in shifts]

    def join(self, builder, elements):
        """One request from its elements."""
        words = elements
        if self.per_word > 1:
            words = []
            for k in range(0, len(elements), self.per_word):
                parts = [builder.zext(element, self.word) for element in elements[k : k + self.per_word]]
                word = parts[0]
                for j, part in enumerate(parts[1:], 1):
                    word = builder.or_(word, builder.shl(part, ir.Constant(self.word, j * self.bits)))
                words.append(word)
        if self.words == 1:
            return words[0]
        vector = ir.Constant(self.request, ir.Undefined)
        for k, word in enumerate(words):
            vector = builder.insert_element(vector, word, ir.Constant(I32, k))
        return vector


def _vector_load(count):
    @intrinsic
    def load(typing_context, place, index):
        if not is_place(place) or not isinstance(index, types.Integer):
            return None
        result = types.UniTuple(place.dtype, count)

        def generate(context, builder, signature, arguments):
            layout = _Layout(context, place.dtype, count)
            address = element_address(context, builder, place, arguments[0], signature.args[1], arguments[1])
            elements = []
            for request in layout.addresses(builder, address):
                elements += layout.split(builder, builder.load(request, align=layout.bytes))
            values = [_value_of(builder, place.dtype, element) for element in elements]
            return context.make_tuple(builder, result, values)

        return result(place, types.unliteral(index)), generate

    load.__doc__ = f"Elements index .. index + {count - 1} as a tuple; the first lies at a multiple of the request's size."
    return load


def _vector_store(count):
    @intrinsic
    def store(typing_context, place, index, values):
        if not is_place(place) or not isinstance(index, types.Integer):
            return None
        if not isinstance(values, types.BaseTuple) or len(values) != count:
            return None

        def generate(context, builder, signature, arguments):
            layout = _Layout(context, place.dtype, count)
            address = element_address(context, builder, place, arguments[0], signature.args[1], arguments[1])
            elements = []
            for k, kind in enumerate(values):
                value = context.cast(builder, builder.extract_value(arguments[2], k), kind, place.dtype)
                elements.append(_data_of(builder, place.dtype, value))
            each = count // layout.requests
            for k, request in enumerate(layout.addresses(builder, address)):
                builder.store(layout.join(builder, elements[k * each : (k + 1) * each]), request, align=layout.bytes)
            return context.get_dummy_value()

        return types.void(place, types.unliteral(index), values), generate

    store.__doc__ = f"Write a tuple of {count} to elements index .. index + {count - 1}, in requests of up to 16 bytes."
    return store


load2, load4, load8, load16 = (_vector_load(count) for count in (2, 4, 8, 16))
store2, store4, store8, store16 = (_vector_store(count) for count in (2, 4, 8, 16))


# --- copies in the background -----------------------------------------------------------------------------------------

_COPY = "cp.async.cg.shared.global"


def _copy_addresses(context, builder, signature, arguments):
    """(address in shared memory, address in global memory) of the first four arguments of a copy."""
    kinds = signature.args
    target = shared_address(context, builder, kinds[0], arguments[0], kinds[1], arguments[1])
    source = element_address(context, builder, kinds[2], arguments[2], kinds[3], arguments[3])
    return target, builder.ptrtoint(source, I64)


def _is_copy(shared, shared_index, pointer, index):
    places = isinstance(shared, types.Array) and isinstance(pointer, types.CPointer)
    return places and isinstance(shared_index, types.Integer) and isinstance(index, types.Integer)


@intrinsic
def cp_async16(typing_context, shared, shared_index, pointer, index):
    """Start to copy 16 bytes from element `index` of a pointer to element `shared_index` of a shared array."""
    if not _is_copy(shared, shared_index, pointer, index):
        return None

    def generate(context, builder, signature, arguments):
        addresses = _copy_addresses(context, builder, signature, arguments)
        assembly(builder, VOID, f"{_COPY} [$0], [$1], 16;", "r,l,~{memory}", addresses, effect=True)
        return context.get_dummy_value()

    return types.void(shared, types.unliteral(shared_index), pointer, types.unliteral(index)), generate


@intrinsic
def cp_async16_zero(typing_context, shared, shared_index, pointer, index, valid_bytes):
    """As `cp_async16`, but only the first `valid_bytes` (0 to 16) are read; the rest of the 16 bytes becomes zero."""
    if not _is_copy(shared, shared_index, pointer, index) or not isinstance(valid_bytes, types.Integer):
        return None
    signature = types.void(
        shared, types.unliteral(shared_index), pointer, types.unliteral(index), types.unliteral(valid_bytes)
    )

    def generate(context, builder, signature, arguments):
        addresses = _copy_addresses(context, builder, signature, arguments)
        size = integer(context, builder, arguments[4], signature.args[4], 32)
        assembly(builder, VOID, f"{_COPY} [$0], [$1], 16, $2;", "r,l,r,~{memory}", [*addresses, size], effect=True)
        return context.get_dummy_value()

    return signature, generate


def _asynchronous(text, document):
    @intrinsic
    def operation(typing_context):
        def generate(context, builder, signature, arguments):
            assembly(builder, VOID, text, "~{memory}", [], effect=True)
            return context.get_dummy_value()

        return types.void(), generate

    operation.__doc__ = document
    return operation


cp_async_commit = _asynchronous("cp.async.commit_group;", "Close a group: the copies started since the last commit.")
cp_async_wait0, cp_async_wait1, cp_async_wait2, cp_async_wait3 = (
    _asynchronous(f"cp.async.wait_group {n};", f"Wait until at most {n} of this thread's groups are under way.")
    for n in range(4)
)
