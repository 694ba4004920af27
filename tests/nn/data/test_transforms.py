"""Transforms: values where they are known, ranges where they are drawn, tensors as arrays."""

import numpy as np
import pytest

import autograd as ag
from nn.data import DataLoader, Dataset
from nn.data.transforms import Compose, Normalize, RandomAffine, RandomCrop, RandomHorizontalFlip

IMAGE = np.arange(2 * 5 * 5, dtype=np.float32).reshape(2, 5, 5)


def test_normalize():
    found = Normalize([1.0, 2.0], [2.0, 4.0])(IMAGE)
    assert np.array_equal(found, np.stack([(IMAGE[0] - 1) / 2, (IMAGE[1] - 2) / 4])) and found.dtype == np.float32
    assert np.array_equal(Normalize([3.0], [2.0])(IMAGE[None]), (IMAGE[None] - 3) / 2)


def test_random_crop():
    found = {tuple(RandomCrop((3, 4))(IMAGE)[0, 0, :1]) for _ in range(200)}
    assert found == {(5.0 * i + j,) for i in range(3) for j in range(2)}  # every place, and no other
    assert RandomCrop((3, 4))(IMAGE).shape == (2, 3, 4)
    padded = np.pad(IMAGE, [(0, 0), (2, 2), (2, 2)], constant_values=-1)
    for _ in range(20):
        part = RandomCrop(5, padding=2, fill=-1)(IMAGE)
        assert any(np.array_equal(part, padded[:, i : i + 5, j : j + 5]) for i in range(5) for j in range(5))


def test_random_flip():
    assert np.array_equal(RandomHorizontalFlip(1.0)(IMAGE), IMAGE[..., ::-1])
    assert np.array_equal(RandomHorizontalFlip(0.0)(IMAGE), IMAGE)
    flipped = sum(RandomHorizontalFlip()(IMAGE)[0, 0, 0] == 4 for _ in range(400))
    assert abs(flipped - 200) < 40


def test_affine_of_known_angles():
    same = RandomAffine(0)(IMAGE)
    np.testing.assert_allclose(same, IMAGE, rtol=1e-6)
    turned = RandomAffine((90, 90))(IMAGE)
    np.testing.assert_allclose(turned, np.rot90(IMAGE, -1, axes=(1, 2)), rtol=1e-5, atol=1e-5)  # clockwise
    half = RandomAffine((180, 180))(IMAGE)
    np.testing.assert_allclose(half, IMAGE[:, ::-1, ::-1], rtol=1e-5, atol=1e-5)
    double = RandomAffine(0, scale=(2.0, 2.0))(IMAGE)
    np.testing.assert_allclose(double[:, ::2, ::2], IMAGE[:, 1:4, 1:4], rtol=1e-5)
    small = RandomAffine(0, scale=(0.25, 0.25), fill=7.0)(IMAGE)
    assert np.all(small[:, 0] == 7.0) and np.allclose(small[:, 2, 2], IMAGE[:, 2, 2])
    line = np.zeros((1, 5, 5), np.float32)
    line[0, :, 2] = 1
    leaning = [RandomAffine(0, shear=45.0)(line) for _ in range(10)]
    assert all(np.isclose(x[0, 2, 2], 1) for x in leaning) and not all(np.allclose(x, line, atol=0.1) for x in leaning)


def test_affine_shifts_stay_in_their_range():
    image = np.zeros((1, 21, 21), np.float64)
    image[0, 10, 10] = 1
    y, x = np.mgrid[:21, :21]
    centres = np.array([((found := RandomAffine(0, translate=(0.2, 0.1))(image)[0]) * y).sum() - 10 for _ in range(50)])
    across = np.array([(RandomAffine(0, translate=(0.2, 0.1))(image)[0] * x).sum() - 10 for _ in range(50)])
    assert found.shape == (21, 21) and 1.5 < np.abs(centres).max() <= 2.1 and 3.0 < np.abs(across).max() <= 4.2


@pytest.mark.parametrize(
    "transform", [Normalize([1.0], [2.0]), RandomCrop(3, 1), RandomHorizontalFlip(), RandomAffine(30, (0.1, 0.1), (0.9, 1.1), 5)]
)
def test_tensors_and_arrays(transform):
    ag.manual_seed(3)
    array = transform(IMAGE)
    ag.manual_seed(3)
    before = IMAGE.copy()
    tensor = transform(ag.asarray(IMAGE))
    assert isinstance(tensor, ag.Tensor) and isinstance(array, np.ndarray) and np.array_equal(tensor.numpy(), array)
    assert np.array_equal(IMAGE, before) and not np.shares_memory(array, IMAGE) and array.dtype == np.float32
    assert type(transform).__name__ in repr(Compose([transform]))
    with pytest.raises(ValueError, match="an image has the shape"):
        transform(np.zeros((3, 3)))


def test_workers_draw_the_same():
    class Images(Dataset):
        change = Compose([RandomAffine(20), RandomCrop(4), RandomHorizontalFlip()])

        def __getitem__(self, index):
            return self.change(IMAGE + index)

        def __len__(self):
            return 8

    one, two = ([batch.tolist() for batch in DataLoader(Images(), 3, True, generator=1, num_workers=n)] for n in (0, 3))
    assert one == two


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: Normalize([1.0], [0.0]), "std above 0"),
        (lambda: Normalize([1.0], [1.0, 1.0]), "of one length"),
        (lambda: Normalize([1.0] * 3, [1.0] * 3)(IMAGE), "3 channels"),
        (lambda: Normalize([1.0], [1.0])(IMAGE.astype(np.uint8)), "expected floats"),
        (lambda: RandomCrop(0), "size must be 1 or more"),
        (lambda: RandomCrop(3, -1), "padding 0 or more"),
        (lambda: RandomCrop(8, 1)(IMAGE), "7 x 7, padding included, has no part of \\(8, 8\\)"),
        (lambda: RandomHorizontalFlip(1.5), "from 0 to 1, got 1.5"),
        (lambda: RandomAffine(0, scale=(0.0, 1.0)), "scale above 0"),
        (lambda: RandomAffine(0, translate=(2.0, 0.0)), "translate must be from 0 to 1"),
        (lambda: RandomAffine(0)(IMAGE.astype(np.uint8)), "expected floats, got uint8"),
    ],
)
def test_bad_arguments(make, message):
    with pytest.raises(ValueError, match=message):
        make()
