from __future__ import annotations

import torch
from torch import Tensor

from sharpfield.fields.field import FieldSamples
from sharpfield.render.occupancy import DECAY, OccupancyGrid

CELLS, UNSEEN = (4, 3, 2), 2.0


class Slope:
    """Density grows along x; remembers where it was asked."""

    def __init__(self, scale: float) -> None:
        self.scale, self.asked = scale, torch.zeros(0, 3)

    def density(self, points: Tensor) -> Tensor:
        self.asked = points
        return self.scale * points[:, 0]

    def __call__(self, points: Tensor, view_directions: Tensor, ray: Tensor) -> FieldSamples:
        raise AssertionError("the grid asks for densities only")


def test_one_random_point_in_every_cell() -> None:
    grid, field = OccupancyGrid(CELLS, UNSEEN), Slope(1.0)
    grid.update(field, torch.Generator().manual_seed(0), slabs=1)
    cells = (field.asked * torch.tensor(CELLS)).long()
    assert torch.equal(cells, torch.cartesian_prod(*[torch.arange(n) for n in CELLS]))
    first = field.asked
    grid.update(field, torch.Generator().manual_seed(1), slabs=1)
    assert not torch.equal(first, field.asked)


def test_cells_take_the_density_of_their_place() -> None:
    grid = OccupancyGrid(CELLS, UNSEEN)
    grid.update(Slope(1000.0), torch.Generator().manual_seed(0), slabs=1)
    lowest = torch.arange(4)[:, None, None] * 250.0
    seen = grid.density > DECAY * UNSEEN
    assert seen.all()
    assert (grid.density >= lowest).all() and (grid.density <= lowest + 250).all()


def test_slabs_take_turns_and_cover_everything() -> None:
    grid = OccupancyGrid(CELLS, UNSEEN)
    for _ in range(3):
        grid.update(Slope(0.0), torch.Generator().manual_seed(0), slabs=3)
    torch.testing.assert_close(grid.density, torch.full(CELLS, DECAY * UNSEEN))


def test_a_grid_of_fewer_layers_than_slabs_is_refreshed_as_well() -> None:
    grid = OccupancyGrid(CELLS, UNSEEN)
    for _ in range(8):
        grid.update(Slope(1000.0), torch.Generator().manual_seed(0), slabs=8)
    assert (grid.density[1:] > UNSEEN).all()


def test_emptied_cells_are_forgotten_slowly() -> None:
    grid = OccupancyGrid(CELLS, UNSEEN)
    grid.density.fill_(100.0)
    for update in range(1, 4):
        grid.update(Slope(0.0), torch.Generator().manual_seed(0), slabs=1)
        torch.testing.assert_close(grid.density, torch.full(CELLS, 100.0 * DECAY**update))


def test_a_checkpoint_holds_the_grid_and_its_turn() -> None:
    grid, other = OccupancyGrid(CELLS, UNSEEN), OccupancyGrid(CELLS, UNSEEN)
    grid.update(Slope(9.0), torch.Generator().manual_seed(0), slabs=2)
    other.load_state_dict(grid.state_dict())
    for one in (grid, other):
        one.update(Slope(9.0), torch.Generator().manual_seed(1), slabs=2)
    assert torch.equal(grid.density, other.density)
