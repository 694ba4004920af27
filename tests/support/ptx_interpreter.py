"""Kernels without a GPU: an interpreter of PTX, the text that kernels are compiled to. Slow, and for the tests alone.

All threads advance together, as a GPU's do: a register is an array with one lane per thread, and where threads take
different branches, those that are furthest behind go first. Arithmetic is that of the PTX ISA manual; the approximate
instructions (ex2, lg2, rcp, rsqrt, sin) give the correctly rounded result, which a GPU misses by an ulp or two.
There is no shared memory, and there are no barriers: what is checked here is what one thread computes.
"""

from __future__ import annotations

import re

import numpy as np

_CLASSES = {"%f": "f4", "%fd": "f8", "%r": "u4", "%rd": "u8", "%rs": "u2", "%rh": "u2", "%p": "?"}
_TYPES = {f"{kind}{8 * size}": f"{letter}{size}" for kind, letter in ("si", "uu", "bu") for size in (1, 2, 4, 8)}
_TYPES |= {"f32": "f4", "f64": "f8", "f16": "f2", "pred": "?"}
_WIDE = {"i4": "i8", "u4": "u8", "i2": "i4", "u2": "u4"}
_COMPARE = {
    "eq": np.equal, "ne": np.not_equal, "lt": np.less, "le": np.less_equal, "gt": np.greater, "ge": np.greater_equal,
    "lo": np.less, "ls": np.less_equal, "hi": np.greater, "hs": np.greater_equal,
}  # fmt: skip
_APPROXIMATE = {
    "ex2": np.exp2, "lg2": np.log2, "rcp": lambda x: 1 / x, "rsqrt": lambda x: 1 / np.sqrt(x), "sin": np.sin, "cos": np.cos,
}  # fmt: skip
_SIMPLE_FLOAT = {
    "add": np.add, "sub": np.subtract, "mul": np.multiply, "div": np.divide, "sqrt": np.sqrt, "abs": np.abs, "neg": np.negative,
}  # fmt: skip
_SIMPLE_INTEGER = {
    "and": np.bitwise_and, "or": np.bitwise_or, "xor": np.bitwise_xor, "not": np.invert, "neg": np.negative,
    "min": np.minimum, "max": np.maximum, "abs": np.abs,
}  # fmt: skip
_LOGIC = {"and": np.logical_and, "or": np.logical_or, "xor": np.logical_xor, "not": np.logical_not}
_FUNCTION = re.compile(
    r"^\.(?:visible \.entry|func)\s+(?:\([^)]*\)\s*)?(\w+)\s*\([^)]*\)[^{;]*\{(.*?)^\}", re.MULTILINE | re.DOTALL
)


class Function:
    """The instructions of one function: (guard, its negation, opcode parts, operands), and where labels point."""

    def __init__(self, name, body):
        self.name, self.labels, self.code, self.locals, self.kinds = name, {}, [], 0, {}
        body = re.sub(r"//[^\n]*", "", body)
        for inner in ("{ ", "\n\t{\n", "\n\t}\n", "\n}"):  # the braces of blocks, which hold declarations at most
            body = body.replace(inner, "\n")
        for statement in re.findall(r"\$\w+:|[^;:]+;", body):
            text = statement.strip().strip(";").strip()
            label = re.fullmatch(r"(\$\w+):", text)
            if label:
                self.labels[label[1]] = len(self.code)
                continue
            text = text.lstrip("{}").strip()
            local = re.match(r"\.local .*\[(\d+)\]", text)
            if local:
                self.locals = int(local[1])
            declared = re.match(r"\.reg \.(\w+)\s+([a-z].*)", text)
            if declared:
                self.kinds |= dict.fromkeys(re.split(r"[\s,]+", declared[2].strip()), _TYPES[declared[1]])
            if not text or text.startswith("."):
                continue
            guard = re.match(r"@(!?)(%p\d+)\s+", text)
            text = text[guard.end() :] if guard else text
            opcode, _, rest = text.partition("\t") if "\t" in text else text.partition(" ")
            opcode, _, more = opcode.strip().partition(" ")
            operands = re.findall(r"\{[^}]*\}|\[[^\]]*\]|\([^)]*\)|[^\s,]+", more + " " + rest)
            self.code.append((guard[2] if guard else None, bool(guard and guard[1]), opcode.split("."), operands))


class Program:
    """A PTX module; `run` starts one of its kernels."""

    def __init__(self, ptx):
        self.functions, self.memory, self.symbols = {}, np.zeros(64, np.uint8), {}
        for found in _FUNCTION.finditer(ptx):
            self.functions[found[1]] = Function(found[1], found[2])
        for found in re.finditer(r"^\.global \.align \d+ \.b8 (\w+)\[\d+\] = \{([^}]*)\}", ptx, re.M):
            self.symbols[found[1]] = self.allocate(np.array([int(v) for v in found[2].split(",")], np.uint8))

    def allocate(self, array):
        """Copy an array into global memory; its address."""
        address = -(-self.memory.size // 64) * 64
        room = np.zeros(address + array.nbytes + 64, np.uint8)
        room[: self.memory.size] = self.memory
        room[address : address + array.nbytes] = np.ascontiguousarray(array).reshape(-1).view(np.uint8)
        self.memory = room
        return address

    def run(self, name, threads, *arguments):
        """Run one block; arrays are copied in and, when it is done, back."""
        places = [self.allocate(a) if isinstance(a, np.ndarray) else a for a in arguments]
        values = {(f"{name}_param_{k}", 0): np.full(threads, v, np.asarray(v).dtype) for k, v in enumerate(places)}
        with np.errstate(all="ignore"):
            Frame(self, self.functions[name], threads, values).run(np.ones(threads, bool))
        for array, place in zip(arguments, places, strict=True):
            if isinstance(array, np.ndarray):
                array[...] = self.memory[place : place + array.nbytes].view(array.dtype).reshape(array.shape)


class Frame:
    """One function's registers, for all threads."""

    def __init__(self, program, function, threads, parameters):
        self.program, self.function, self.threads, self.parameters = program, function, threads, parameters
        self.registers, self.stack = {}, np.zeros((threads, max(function.locals, 1)), np.uint8)
        self.carry = np.zeros(threads, bool)

    def run(self, active):
        """Until every active thread has returned."""
        end = len(self.function.code)
        places = np.where(active, 0, end)
        while True:
            place = int(places.min())
            if place >= end:
                return
            mask = places == place
            guard, negated, opcode, operands = self.function.code[place]
            chosen = mask if guard is None else mask & (self.registers[guard] ^ negated)
            places[mask] = place + 1
            if opcode[0] == "bra":
                places[chosen] = self.function.labels[operands[0]]
            elif opcode[0] == "ret":
                places[chosen] = end
            elif opcode[0] == "call":
                self.call(operands, chosen)
            else:
                self.step(opcode, operands, chosen)

    def call(self, operands, mask):
        result, name, *arguments = [operand.strip("()").strip() for operand in operands]
        names = [a.strip() for a in arguments[0].split(",")] if arguments else []
        given = {(f"{name}_param_{k}", 0): self.parameters[a, 0] for k, a in enumerate(names)}
        frame = Frame(self.program, self.program.functions[name], self.threads, given)
        frame.run(mask)
        for (key, offset), value in frame.parameters.items():
            if key == "func_retval0":
                self.parameters[result, offset] = value

    # --- operands

    def read(self, operand, kind):
        """An operand as an array of a NumPy type."""
        if operand == "%tid.x":
            return np.arange(self.threads).astype(kind)
        if operand in ("%ntid.x", "%ctaid.x"):
            return np.full(self.threads, self.threads if operand == "%ntid.x" else 0, kind)
        if operand.startswith("%SP"):
            return self.registers[operand]
        if operand in self.registers:
            value = self.registers[operand]
            if kind == "?" or value.dtype == kind:
                return value
            if value.dtype.itemsize == np.dtype(kind).itemsize:
                return value.view(kind)
            return value.astype(f"u{value.dtype.itemsize}").astype(f"u{kind[1]}").view(kind)
        if re.match(r"0[fd][0-9A-F]{8,16}$", operand):
            bits = int(operand[2:], 16)
            value = np.array(bits, "u4" if operand[1] == "f" else "u8").view("f4" if operand[1] == "f" else "f8")
            return np.full(self.threads, value.view(kind) if value.dtype.itemsize == np.dtype(kind).itemsize else value)
        if re.match(r"-?\d|-?0x", operand):
            size = 8 * max(np.dtype(kind).itemsize, 1)
            value = np.array(int(operand.rstrip("U"), 0) % 2**size, f"u{size // 8}")
            return np.full(self.threads, value.astype(bool) if kind == "?" else value.view(kind))
        return np.full(self.threads, self.program.symbols.get(operand, 0), kind)

    def write(self, operand, value, mask):
        """Assign to a register where the mask holds, keeping the bits."""
        if operand == "_":
            return
        kind = np.dtype(self.function.kinds.get(operand) or _CLASSES.get(re.match(r"%?[a-z]*", operand)[0], "u8"))
        value = np.asarray(value)
        if kind.kind != "b" and value.dtype != kind:
            if value.dtype.itemsize < kind.itemsize:
                value = value.astype(f"i{kind.itemsize}" if value.dtype.kind == "i" else f"u{kind.itemsize}")
            value = value.astype(f"u{kind.itemsize}") if value.dtype.itemsize > kind.itemsize else value
            value = np.ascontiguousarray(value).view(kind)
        old = self.registers.get(operand)
        if old is None:
            old = self.registers[operand] = np.zeros(self.threads, kind)
        np.copyto(old, value, where=mask)

    def address(self, operand):
        """(base, offset) of [base+offset]."""
        base, _, offset = operand.strip("[]").partition("+")
        return base, int(offset or 0)

    # --- instructions

    def step(self, opcode, operands, mask):
        name = opcode[0]
        if name in ("ld", "st"):
            self.move(opcode, operands, mask)
        elif name == "cvta":
            self.write(operands[0], self.read(operands[1], "u8"), mask)
        elif name == "mov":
            self.mov(_TYPES[opcode[-1]], operands, mask)
        elif name == "setp":
            kind = _TYPES[opcode[-1]]
            a, b = self.read(operands[1], kind), self.read(operands[2], kind)
            self.write(operands[0], _compare(opcode[1], a, b), mask)
        elif name == "selp":
            kind = _TYPES[opcode[-1]]
            chosen = np.where(self.read(operands[3], "?"), self.read(operands[1], kind), self.read(operands[2], kind))
            self.write(operands[0], chosen, mask)
        elif name == "cvt":
            self.convert(opcode, operands, mask)
        elif opcode[-1] in ("f32", "f64"):
            kind = _TYPES[opcode[-1]]
            values = [self.read(operand, kind) for operand in operands[1:]]
            self.write(operands[0], _float_operation(opcode, kind, values), mask)
        else:
            self.integer(opcode, operands, mask)

    def move(self, opcode, operands, mask):
        load = opcode[0] == "ld"
        space, kind = opcode[1], _TYPES[opcode[-1]]
        count = next((int(part[1]) for part in opcode if part in ("v2", "v4")), 1)
        place, register = (operands[1], operands[0]) if load else (operands[0], operands[1])
        base, offset = self.address(place)
        registers = [r.strip() for r in register.strip("{}").split(",")]
        size = np.dtype(kind).itemsize
        for k, register in enumerate(registers[:count]):
            at = offset + k * size
            if space == "param":
                if load:
                    self.write(register, self.parameters[base, at].astype(kind), mask)
                else:
                    self.parameters[base, at] = self.read(register, kind).copy()
                continue
            start = self.read(base, "u8").astype("i8") + at
            start = np.where(mask, start, 0)
            index = start[:, None] + np.arange(size)
            if load:
                data = self.program.memory[index] if space != "local" else np.take_along_axis(self.stack, index, 1)
                self.write(register, np.ascontiguousarray(data).view(kind)[:, 0], mask)
            else:
                data = np.ascontiguousarray(self.read(register, kind)).view(np.uint8).reshape(-1, size)
                if space == "local":
                    rows = np.flatnonzero(mask)[:, None]
                    self.stack[rows, index[mask]] = data[mask]
                else:
                    self.program.memory[index[mask]] = data[mask]

    def mov(self, kind, operands, mask):
        if operands[1].startswith("{"):  # join
            size = np.dtype(kind).itemsize
            parts = operands[1].strip("{}").split(",")
            low, high = (self.read(part.strip(), f"u{size // 2}").astype(f"u{size}") for part in parts)
            self.write(operands[0], low | (high << np.dtype(f"u{size}").type(4 * size)), mask)
        elif operands[0].startswith("{"):  # split
            value = self.read(operands[1], kind)
            half = 4 * np.dtype(kind).itemsize
            small = f"u{np.dtype(kind).itemsize // 2}"
            for part, shift in zip(operands[0].strip("{}").split(","), (0, half), strict=True):
                if "temp" not in part:
                    self.write(part.strip(), (value >> np.dtype(kind).type(shift)).astype(small), mask)
        else:
            self.write(operands[0], self.read(operands[1], kind), mask)

    def convert(self, opcode, operands, mask):
        target, source = _TYPES[opcode[-2]], _TYPES[opcode[-1]]
        value = self.read(operands[1], source)
        rounding = {"rni": np.rint, "rzi": np.trunc, "rmi": np.floor, "rpi": np.ceil}
        for part in opcode:
            if part in rounding:
                value = rounding[part](value)
        if "sat" in opcode:
            value = np.where(value != value, 0, np.clip(value, 0, 1)).astype(source)
        if target[0] in "iu" and source[0] == "f":
            info = np.iinfo(target)
            wide = np.where(value != value, 0, value).astype("f8")
            inside = np.clip(wide, float(info.min), np.nextafter(float(info.max) + 1, 0)).astype(target)
            value = np.where(wide >= float(info.max), info.max, inside)
        self.write(operands[0], value.astype(target), mask)

    def integer(self, opcode, operands, mask):
        name, kind = opcode[0], _TYPES[opcode[-1]]
        if kind == "?":
            values = [self.read(operand, "?") for operand in operands[1:]]
            return self.write(operands[0], _LOGIC[name](*values), mask)
        bits = np.dtype(kind).itemsize * 8
        is_shift = name in ("shl", "shr")
        values = [self.read(operand, "u4" if is_shift and k == 1 else kind) for k, operand in enumerate(operands[1:])]
        if is_shift:
            value, by = values[0], np.minimum(values[1], bits - 1).astype(kind)
            shifted = value << by if name == "shl" else value >> by
            beyond = values[1] >= bits
            rest = np.where(value < 0, -1, 0) if name == "shr" and kind[0] == "i" else np.zeros_like(value)
            return self.write(operands[0], np.where(beyond, rest, shifted).astype(kind), mask)
        if name in ("mul", "mad", "madc", "add", "addc", "sub", "subc"):
            return self.carrying(opcode, operands, kind, values, mask)
        if name in _SIMPLE_INTEGER:
            return self.write(operands[0], _SIMPLE_INTEGER[name](*values), mask)
        exact = [[int(v) for v in value] for value in values]
        if name in ("div", "rem"):
            result = [_divided(name, a, b) for a, b in zip(*exact, strict=True)]
        elif name == "clz":
            result = [bits - v.bit_length() for v in exact[0]]
        elif name == "bfi":
            result = [b & ~((1 << n) - 1 << p) | (a & (1 << n) - 1) << p for a, b, p, n in zip(*exact, strict=True)]
        elif name == "prmt":
            result = [_permuted(a | b << 32, c) for a, b, c in zip(*exact, strict=True)]
        else:
            raise NotImplementedError(".".join(opcode))
        return self.write(operands[0], _wrapped(result, kind), mask)

    def carrying(self, opcode, operands, kind, values, mask):
        """Sums and products of integers, exact in Python's, with the carry that .cc leaves and addc takes."""
        name, bits = opcode[0], np.dtype(kind).itemsize * 8
        exact = [value.astype(object) for value in values]
        low_half = (1 << bits) - 1
        if name in ("mul", "mad", "madc"):
            total = exact[0] * exact[1]
            if "hi" in opcode:
                total = total >> bits
            elif "wide" not in opcode:
                total = total & low_half
            if name != "mul":
                total = total + (exact[2] if "wide" in opcode else exact[2] & low_half)
        else:
            second = exact[1] if name in ("add", "addc") else -exact[1]
            total = (exact[0] & low_half) + second
        if name in ("addc", "madc"):
            total = total + self.carry.astype(int)
        if name == "subc":
            total = total - self.carry.astype(int)
        if "cc" in opcode:
            np.copyto(self.carry, np.array([t < 0 or t >> bits != 0 for t in total], bool), where=mask)
        self.write(operands[0], _wrapped(total, _WIDE[kind] if "wide" in opcode else kind), mask)


def _permuted(pair, selectors):
    """Four bytes of eight, each named by three bits of a selector; with the fourth, its sign bit in all places."""
    result = 0
    for k in range(4):
        selector = selectors >> 4 * k & 15
        byte = pair >> 8 * (selector & 7) & 0xFF
        result |= (byte if selector < 8 else 0xFF * (byte >> 7)) << 8 * k
    return result


def _divided(name, a, b):
    """The quotient towards zero, or the remainder of that division."""
    quotient = abs(a) // abs(b) * (1 if (a < 0) == (b < 0) else -1) if b else 0
    return quotient if name == "div" else a - b * quotient


def _wrapped(values, kind):
    bits = np.dtype(kind).itemsize * 8
    return np.array([int(v) % 2**bits for v in values], f"u{bits // 8}").view(kind)


def _compare(name, a, b):
    unordered = (a != a) | (b != b)
    if name == "nan":
        return unordered
    if name == "num":
        return ~unordered
    if len(name) == 3 and name.endswith("u"):
        return _COMPARE[name[:2]](a, b) | unordered
    return _COMPARE[name](a, b) & ~unordered


def _float_operation(opcode, kind, values):
    name = opcode[0]
    if name == "fma":
        return _fma(kind, opcode[1], *values)
    if name in ("min", "max"):
        pick = (np.fmin, np.fmax) if "NaN" not in opcode else (np.minimum, np.maximum)
        result = pick[name == "max"](*values)
        negative = [np.signbit(value) for value in values]
        sign = np.where(negative[0] & negative[1] if name == "max" else negative[0] | negative[1], -1, 1).astype(kind)
        return np.where(values[0] == values[1], np.copysign(values[0], sign), result)
    if name in _APPROXIMATE:
        if "ftz" in opcode and kind == "f4":
            values = [np.where(np.abs(values[0]) < np.finfo("f4").tiny, np.copysign(np.float32(0), values[0]), values[0])]
        result = _APPROXIMATE[name](values[0].astype("f8"))
        if kind == "f8" and "ftz" in opcode:  # only the upper 32 bits are worth anything
            return (result.view("u8") & np.uint64(0xFFFFFFFF00000000)).view("f8")
        return result.astype(kind)
    if name == "copysign":
        return np.copysign(values[1], values[0])
    if "rz" in opcode:
        exact = _SIMPLE_FLOAT[name](*[value.astype("f8") for value in values])
        return _towards_zero(exact, kind)
    return _SIMPLE_FLOAT[name](*values)


def _towards_zero(exact, kind, down=False):
    """A float64 rounded towards zero, or down."""
    result = exact.astype(kind)
    too_large = result > exact if down else np.abs(result) > np.abs(exact)
    goal = np.full_like(result, -np.inf) if down else np.zeros_like(result)
    return np.where(too_large, np.nextafter(result, goal), result)


def _fma(kind, rounding, a, b, c):
    if kind == "f4":
        exact = a.astype("f8") * b.astype("f8") + c.astype("f8")  # rounded twice, which matters once in 2**29
        return exact.astype("f4") if rounding == "rn" else _towards_zero(exact, "f4", rounding == "rm")
    product = a * b
    split = 134217729.0
    a_high = a * split - (a * split - a)
    b_high = b * split - (b * split - b)
    a_low, b_low = a - a_high, b - b_high
    error = ((a_high * b_high - product) + a_high * b_low + a_low * b_high) + a_low * b_low
    total = product + c
    back = total - product
    rest = (product - (total - back)) + (c - back)
    precise = total + (rest + error)
    usual = (precise != 0) & np.isfinite(precise)
    return np.where(usual, precise, product + c)
