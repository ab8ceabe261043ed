"""Hierarchical sampling against a twin that goes ray by ray, and the laws that both obey."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from sharpfield.config import HierarchicalConfig, MlpConfig
from sharpfield.fields.mlp import MlpField, MlpSamples, NerfNetwork
from sharpfield.geometry.camera import Camera
from sharpfield.geometry.ndc import to_ndc
from sharpfield.geometry.rays import Rays, camera_directions, pixel_centres, rays_from_poses
from sharpfield.geometry.se3 import exponential
from sharpfield.render.hierarchical import HierarchicalRenderer, Span, places_by_weight
from sharpfield.render.renderer import RayColours

CAMERA = Camera(3, 2, 4.0, 4.0, 1.5, 1.0)
POSE = exponential(torch.tensor([0.1, -0.05, 0.02, 0.2, -0.1, 0.05], dtype=torch.float64))
COUNT = CAMERA.width * CAMERA.height
MLP = MlpConfig(depth=2, width=8, fine_depth=3, fine_width=10, position_octaves=2)
CONFIG = HierarchicalConfig(coarse=7, fine=6)
SPAN = Span(0.7, 5.0)
SPANS = (None, SPAN)


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """Tiny batches: a second thread costs more than it gives."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def rays() -> Rays:
    """Every pixel's, in float64."""
    directions = camera_directions(pixel_centres(CAMERA), CAMERA).double()
    return rays_from_poses(directions, POSE.expand(COUNT, 3, 4))


def make_field(two: bool = True, config: MlpConfig = MLP) -> MlpField:
    """Random networks, dense enough that rays end half-way."""
    torch.manual_seed(3)
    field = MlpField(config, two).double()
    with torch.no_grad():
        for name, parameter in field.named_parameters():
            if "density_head" in name:
                parameter.mul_(4.0)
    return field


def make_renderer(
    config: HierarchicalConfig = CONFIG, span: Span | None = None, features: bool = False
) -> HierarchicalRenderer:
    return HierarchicalRenderer(config, CAMERA, span, features)


def drawn(renderer: HierarchicalRenderer) -> Tensor:
    return renderer.draws(COUNT, torch.Generator().manual_seed(5)).double()


class Painted(NerfNetwork):
    """Density by distance along z of the sampled space, and one colour."""

    def __init__(self, colour: list[float], start: float = 0.0, density: float = 0.0) -> None:
        super().__init__(MLP, 1, 2)
        self.colour, self.start, self.density = torch.tensor(colour).double(), start, density

    def __call__(
        self, points: Tensor, view_directions: Tensor, density_noise: Tensor | None = None
    ) -> MlpSamples:
        flat = points.flatten(0, 1)
        density = torch.where(flat[:, 2] >= self.start, self.density, 0.0).double()
        return MlpSamples(density, self.colour.expand(len(flat), 3), flat)


def painted(coarse: NerfNetwork, fine: NerfNetwork) -> MlpField:
    field = make_field()
    field.coarse, field.fine = coarse, fine
    return field


@dataclass
class Twin:
    """One ray at a time, straight from the paper (sections 4, 5.1, 5.2) and method B.1."""

    config: HierarchicalConfig
    field: MlpField
    origin: np.ndarray
    direction: np.ndarray
    seen_along: np.ndarray
    near: float = 0.0
    far: float = 1.0
    picture: bool = False

    def coarse_places(self, uniform: np.ndarray) -> np.ndarray:
        count = self.config.coarse
        t = np.empty(count)
        for i in range(count):
            s = i / (count - 1)
            if self.config.even_disparity:
                t[i] = 1 / ((1 - s) / self.near + s / self.far)
            else:
                t[i] = (1 - s) * self.near + s * self.far
        if self.picture or self.config.jitter == 0:
            return t
        moved = np.empty(count)
        for i in range(count):
            low = t[i] if i == 0 else (t[i - 1] + t[i]) / 2
            high = t[i] if i == count - 1 else (t[i] + t[i + 1]) / 2
            anywhere = low + (high - low) * uniform[i]
            moved[i] = t[i] + self.config.jitter * (anywhere - t[i])
        return moved

    def fine_places(self, t: np.ndarray, weights: np.ndarray, uniform: np.ndarray) -> np.ndarray:
        if self.picture or self.config.jitter == 0:
            uniform = np.linspace(0, 1, self.config.fine)
        edges = [(t[i] + t[i + 1]) / 2 for i in range(len(t) - 1)]
        mass = [weight + 1e-5 for weight in weights[1:-1]]
        places = []
        for u in uniform:
            below = 0.0
            for i in range(len(mass)):
                share = mass[i] / sum(mass)
                if u <= below + share or i == len(mass) - 1:
                    inside = min(1.0, (u - below) / share)
                    places.append(edges[i] + inside * (edges[i + 1] - edges[i]))
                    break
                below += share
        return np.array(places)

    def along(
        self, network: NerfNetwork, t: np.ndarray, noise: np.ndarray | None
    ) -> tuple[np.ndarray, float, np.ndarray]:
        """Colour, expected t, weights."""
        points = torch.from_numpy(self.origin + t[:, None] * self.direction)[None]
        given = None if noise is None else torch.from_numpy(noise)[None]
        with torch.no_grad():
            seen = network(points, torch.from_numpy(self.seen_along)[None], given)
        colour, depth, through = np.zeros(3), 0.0, 1.0
        weights = np.empty(len(t))
        for i in range(len(t)):
            alpha = 1.0
            if i < len(t) - 1:
                density = float(seen.density[i])
                share = (t[i + 1] - self.near) / (self.far - self.near)
                if self.picture and share <= self.config.near_cut / 128:
                    density = 0.0
                gap = (t[i + 1] - t[i]) * np.linalg.norm(self.direction)
                alpha = 1 - np.exp(-density * gap)
            weights[i] = alpha * through
            through *= 1 - alpha
            colour += weights[i] * seen.colour[i].numpy()
            depth += weights[i] * t[i]
        return colour, depth, weights

    def render(self, draws: np.ndarray) -> tuple[np.ndarray, np.ndarray | None, float]:
        """Colour, coarse colour, share of the way."""
        coarse, fine = self.config.coarse, self.config.fine
        noise: list[np.ndarray | None] = [None, None]
        if self.config.density_noise > 0 and not self.picture:
            noise = [draws[coarse + fine : 2 * coarse + fine], draws[2 * coarse + fine :]]
        t = self.coarse_places(draws[:coarse])
        first, depth, weights = self.along(self.field.coarse, t, noise[0])
        if fine == 0:
            return first, None, (depth - self.near) / (self.far - self.near)
        assert self.field.fine is not None
        places = self.fine_places(t, weights, draws[coarse : coarse + fine])
        t = np.sort(np.concatenate([t, places]))
        colour, depth, _ = self.along(self.field.fine, t, noise[1])
        return colour, first, (depth - self.near) / (self.far - self.near)


def assert_is_twin(config: HierarchicalConfig, span: Span | None, picture: bool) -> RayColours:
    field, renderer = make_field(config.fine > 0), make_renderer(config, span)
    draws, given = drawn(renderer), rays()
    with torch.no_grad():
        ours = renderer(field, given, None if picture else draws)
    inside = given if span else to_ndc(given, CAMERA)
    view_directions = F.normalize(given.directions, dim=1)
    near, far = (span.near, span.far) if span else (0.0, 1.0)
    for i in range(COUNT):
        twin = Twin(
            config,
            field,
            inside.origins[i].numpy(),
            inside.directions[i].numpy(),
            view_directions[i].numpy(),
            near,
            far,
            picture,
        )
        colour, coarse, depth = twin.render(draws[i].numpy())
        np.testing.assert_allclose(ours.colour[i].numpy(), colour, atol=1e-7)
        assert float(ours.depth[i]) == pytest.approx(depth, abs=1e-7)
        if coarse is None:
            assert ours.coarse is None
        else:
            assert ours.coarse is not None
            np.testing.assert_allclose(ours.coarse[i].numpy(), coarse, atol=1e-7)
    return ours


class TestTwin:
    @pytest.mark.parametrize("span", SPANS)
    @pytest.mark.parametrize("picture", [False, True])
    def test_stock_settings(self, span: Span | None, picture: bool) -> None:
        seen = assert_is_twin(CONFIG, span, picture)
        assert seen.samples == COUNT * (7 + 7 + 6)
        assert seen.colour.std() > 1e-3 and seen.depth.std() > 1e-3

    @pytest.mark.parametrize("span", SPANS)
    @pytest.mark.parametrize("picture", [False, True])
    def test_without_fine_samples(self, span: Span | None, picture: bool) -> None:
        seen = assert_is_twin(replace(CONFIG, fine=0), span, picture)
        assert seen.coarse is None and seen.samples == COUNT * 7

    @pytest.mark.parametrize("jitter", [0.0, 0.4])
    def test_jitter(self, jitter: float) -> None:
        assert_is_twin(replace(CONFIG, jitter=jitter), None, False)

    @pytest.mark.parametrize("jitter", [0.0, 1.0])
    @pytest.mark.parametrize("fine", [0, 6])
    def test_density_noise(self, jitter: float, fine: int) -> None:
        assert_is_twin(replace(CONFIG, jitter=jitter, fine=fine, density_noise=2.0), None, False)

    def test_pictures_have_no_noise(self) -> None:
        assert_is_twin(replace(CONFIG, density_noise=2.0), None, True)

    @pytest.mark.parametrize("picture", [False, True])
    def test_near_cut(self, picture: bool) -> None:
        for span in SPANS:
            assert_is_twin(replace(CONFIG, near_cut=50), span, picture)

    @pytest.mark.parametrize("picture", [False, True])
    def test_even_disparity(self, picture: bool) -> None:
        assert_is_twin(replace(CONFIG, even_disparity=True), SPAN, picture)

    def test_few_samples(self) -> None:
        assert_is_twin(replace(CONFIG, coarse=3, fine=1), None, False)
        assert_is_twin(replace(CONFIG, coarse=2, fine=0), None, False)


class TestLaws:
    @pytest.mark.parametrize("span", SPANS)
    @pytest.mark.parametrize("picture", [False, True])
    def test_one_colour_everywhere_is_seen_everywhere(
        self, span: Span | None, picture: bool
    ) -> None:
        """Whatever the density, weights sum to one: the far plane is opaque."""
        field = make_field()
        for network in (field.coarse, field.fine):
            assert network is not None
            with torch.no_grad():
                network.colour_head.weight.zero_()
                network.colour_head.bias.copy_(torch.tensor([-1.0, 0.0, 2.0]))
        renderer = make_renderer(replace(CONFIG, density_noise=1.0, near_cut=30), span)
        seen = renderer(field, rays(), None if picture else drawn(renderer))
        expected = torch.sigmoid(torch.tensor([-1.0, 0.0, 2.0])).double().expand(COUNT, 3)
        torch.testing.assert_close(seen.colour, expected)
        torch.testing.assert_close(seen.coarse, expected)
        assert (seen.depth >= 0).all() and (seen.depth <= 1).all()

    def test_empty_space_shows_the_last_sample(self) -> None:
        field = painted(Painted([0.1, 0.2, 0.3]), Painted([0.4, 0.5, 0.6]))
        for span in SPANS:
            seen = make_renderer(CONFIG, span)(field, rays(), None)
            torch.testing.assert_close(seen.depth, torch.ones(COUNT).double())
            assert seen.coarse is not None
            torch.testing.assert_close(seen.coarse[0].tolist(), [0.1, 0.2, 0.3])
            torch.testing.assert_close(seen.colour[0].tolist(), [0.4, 0.5, 0.6])

    def test_fine_samples_go_where_the_coarse_network_saw_a_wall(self) -> None:
        """In NDC, z runs from -1 to 1 over t from 0 to 1."""
        config = replace(CONFIG, coarse=9, fine=40)
        wall = Painted([0.0, 0.0, 0.0], start=0.21, density=1e4)
        near_wall = make_renderer(config)(painted(wall, wall), rays(), None).depth
        torch.testing.assert_close(
            near_wall, torch.full((COUNT,), 0.605).double(), atol=0.01, rtol=0
        )
        nothing = Painted([0.0, 0.0, 0.0])
        even = make_renderer(config)(painted(nothing, wall), rays(), None)
        assert ((even.depth - 0.605).abs() > 0.01).all()

    @pytest.mark.parametrize("span", SPANS)
    def test_pictures_do_not_depend_on_how_they_are_cut(self, span: Span | None) -> None:
        field = make_field()
        with torch.no_grad():
            whole = make_renderer(CONFIG, span)(field, rays(), None)
            for points_at_once in (1, 30, 10_000):
                renderer = make_renderer(replace(CONFIG, points_at_once=points_at_once), span)
                seen = renderer(field, rays(), None)
                torch.testing.assert_close(seen.colour, whole.colour)
                torch.testing.assert_close(seen.depth, whole.depth)
            parts = [
                make_renderer(CONFIG, span)(field, rays()[start : start + 4], None)
                for start in range(0, COUNT, 4)
            ]
            torch.testing.assert_close(torch.cat([p.colour for p in parts]), whole.colour)
            torch.testing.assert_close(torch.cat([p.depth for p in parts]), whole.depth)

    def test_training_does_not_depend_on_how_points_are_cut(self) -> None:
        field, config = make_field(), replace(CONFIG, density_noise=1.0)
        renderer = make_renderer(config, features=True)
        narrow = make_renderer(replace(config, points_at_once=20), features=True)
        draws = drawn(renderer)
        whole, cut = renderer(field, rays(), draws), narrow(field, rays(), draws)
        torch.testing.assert_close(cut.colour, whole.colour)
        assert cut.met is not None and whole.met is not None
        torch.testing.assert_close(cut.met.features, whole.met.features)

    def test_pictures_repeat_bit_for_bit(self) -> None:
        field, renderer = make_field(), make_renderer()
        first = renderer(field, rays(), None)
        torch.rand(3)
        assert torch.equal(renderer(field, rays(), None).colour, first.colour)

    def test_draws_belong_to_their_rays(self) -> None:
        """A part of a step with its part of the draws is that part of the whole step."""
        field, renderer = make_field(), make_renderer(replace(CONFIG, density_noise=1.0))
        draws = drawn(renderer)
        whole = renderer(field, rays(), draws).colour
        part = renderer(field, rays()[2:5], draws[2:5]).colour
        torch.testing.assert_close(part, whole[2:5])
        moved = renderer(field, rays(), draws.flip(0)).colour
        assert ((moved - whole).abs().amax(1) > 1e-6).sum() >= COUNT - 1

    def test_without_jitter_uniform_numbers_do_not_count(self) -> None:
        field = make_field()
        renderer = make_renderer(replace(CONFIG, jitter=0.0))
        seen = [renderer(field, rays(), torch.full((COUNT, 13), u).double()) for u in (0.1, 0.9)]
        assert torch.equal(seen[0].colour, seen[1].colour)
        torch.testing.assert_close(seen[0].colour, renderer(field, rays(), None).colour)

    def test_draws_are_uniform_then_normal(self) -> None:
        generator = torch.Generator().manual_seed(0)
        quiet = make_renderer().draws(3000, generator)
        assert quiet.shape == (3000, 13) and quiet.min() >= 0 and quiet.max() < 1
        noisy = make_renderer(replace(CONFIG, density_noise=3.0)).draws(3000, generator)
        assert noisy.shape == (3000, 13 + 7 + 13)
        assert noisy[:, :13].min() >= 0 and noisy[:, :13].max() < 1
        assert abs(noisy[:, :13].mean() - 0.5) < 0.01
        assert abs(noisy[:, 13:].mean()) < 0.1 and abs(noisy[:, 13:].std() - 3) < 0.1

    def test_near_cut_opens_the_view_in_pictures_only(self) -> None:
        """Fog up close hides everything, until it is cut away."""
        thick = Painted([0.2, 0.2, 0.2], start=-2.0, density=1e4)
        renderer = make_renderer(replace(CONFIG, near_cut=64, coarse=17, fine=16))
        picture = renderer(painted(thick, thick), rays(), None)
        training = renderer(painted(thick, thick), rays(), drawn(renderer))
        assert (training.depth < 0.1).all()
        assert (picture.depth > 0.4).all() and (picture.depth < 0.6).all()

    def test_even_disparity_is_even_in_disparity(self) -> None:
        config = replace(CONFIG, even_disparity=True, fine=0)
        renderer = make_renderer(config, SPAN, features=True)
        fixed = replace(config, jitter=0.0)
        met = make_renderer(fixed, SPAN, features=True)(
            make_field(two=False), rays(), drawn(renderer)
        ).met
        assert met is not None
        gaps = met.lengths[:, :-1] / rays().directions.norm(dim=1, keepdim=True)
        places = SPAN.near + F.pad(gaps.cumsum(1), (1, 0))
        steps = (1 / places).diff(dim=1)
        torch.testing.assert_close(steps, steps[:, :1].expand_as(steps))
        torch.testing.assert_close(places[:, -1], torch.full((COUNT,), SPAN.far).double())


class TestMet:
    @pytest.mark.parametrize("fine", [0, 6])
    @pytest.mark.parametrize("span", SPANS)
    def test_lengths_are_distances_and_features_those_of_the_last_network(
        self, span: Span | None, fine: int
    ) -> None:
        config = replace(CONFIG, fine=fine)
        renderer, field = make_renderer(config, span, features=True), make_field(fine > 0)
        points: list[Tensor] = []
        last = field.fine or field.coarse
        last.layers[0].register_forward_pre_hook(lambda _, given: points.append(given[0][..., :3]))
        met = renderer(field, rays(), drawn(renderer)).met
        assert met is not None and len(points) == 1
        assert met.features.shape == (COUNT, 7 + fine, field.feature_channels)
        assert met.lengths.shape == (COUNT, 7 + fine)
        torch.testing.assert_close(met.lengths[:, :-1], points[0].diff(dim=1).norm(dim=2))
        direction = F.normalize(rays().directions, dim=1)
        seen = last(points[0], direction)
        torch.testing.assert_close(met.features, seen.feature.unflatten(0, met.lengths.shape))

    def test_only_training_that_asked_gets_them(self) -> None:
        field = make_field()
        asked, quiet = make_renderer(features=True), make_renderer()
        assert asked(field, rays(), drawn(asked)).met is not None
        assert asked(field, rays(), None).met is None
        assert quiet(field, rays(), drawn(quiet)).met is None


def bins(count: int) -> Tensor:
    """Edges of unequal bins over [2, 5]."""
    edges = torch.rand(count + 1, generator=torch.Generator().manual_seed(8)).double().cumsum(0)
    return 2 + 3 * (edges - edges[0]) / (edges[-1] - edges[0])


class TestPlacesByWeight:
    def test_even_weights_of_even_bins_give_even_places(self) -> None:
        edges = torch.linspace(2.0, 5.0, 9).double()[None]
        places = places_by_weight(edges, torch.ones(1, 8).double(), 13, None)
        torch.testing.assert_close(places[0], torch.linspace(2.0, 5.0, 13).double())

    def test_all_weight_in_one_bin(self) -> None:
        edges = bins(6).expand(6, -1)
        uniform = torch.linspace(0.01, 0.99, 30).double().expand(6, -1)
        places = places_by_weight(edges, torch.eye(6).double(), 30, uniform)
        low, high = edges.diagonal(), edges[:, 1:].diagonal()
        assert (places >= low[:, None]).all() and (places <= high[:, None]).all()
        share = (places - low[:, None]) / (high - low)[:, None]
        torch.testing.assert_close(share, uniform, atol=1e-3, rtol=0)

    def test_inverts_the_distribution(self) -> None:
        random = torch.Generator().manual_seed(9)
        weights = torch.rand(4, 6, generator=random).double()
        uniform = torch.rand(4, 50, generator=random).double()
        uniform[:, 0], uniform[:, -1] = 0.0, 1.0
        edges = bins(6)
        places = places_by_weight(edges.expand(4, -1), weights, 50, uniform)
        for row in range(4):
            mass = weights[row].numpy() + 1e-5
            share = np.concatenate([[0], mass.cumsum() / mass.sum()])
            back = np.interp(places[row].numpy(), edges.numpy(), share)
            np.testing.assert_allclose(back, uniform[row].numpy(), atol=1e-9)

    def test_rises_with_the_number_and_stays_inside(self) -> None:
        """In float32, and also where many bins have next to no weight."""
        random = torch.Generator().manual_seed(10)
        weights = torch.rand(300, 20, generator=random) ** 30
        uniform = torch.rand(300, 64, generator=random).sort(dim=1).values
        uniform[:, 0], uniform[:, -1] = 0.0, 1.0
        edges = bins(20).float().expand(300, -1)
        for places in (
            places_by_weight(edges, weights, 64, uniform),
            places_by_weight(edges, weights, 64, None),
        ):
            assert (places.diff(dim=1) >= -1e-6).all()
            assert (places >= 2).all() and (places <= 5).all()
            assert (places[:, 0] == 2).all()

    def test_no_weight_at_all_is_even(self) -> None:
        edges = torch.linspace(0.0, 1.0, 6).double()[None]
        places = places_by_weight(edges, torch.zeros(1, 5).double(), 11, None)
        torch.testing.assert_close(places[0], torch.linspace(0.0, 1.0, 11).double())


class TestGradients:
    @pytest.mark.parametrize("span", SPANS)
    @pytest.mark.parametrize("fine", [0, 3])
    def test_of_rays_are_finite_differences(self, span: Span | None, fine: int) -> None:
        """Where the coarse network sees nothing, fine places do not move with the ray."""
        field = make_field(fine > 0, replace(MLP, density_activation="softplus"))
        if fine:
            empty = replace(MLP, density_activation="relu")
            field.coarse.config = empty
            with torch.no_grad():
                field.coarse.density_head.weight.zero_()
                field.coarse.density_head.bias.fill_(-1.0)
        renderer = make_renderer(replace(CONFIG, coarse=4, fine=fine), span)
        draws = drawn(renderer)[:2]
        given = rays()[1:3]

        def seen(origins: Tensor, directions: Tensor) -> tuple[Tensor, Tensor]:
            colours = renderer(field, Rays(origins, directions), draws)
            return colours.colour, colours.depth

        origins, directions = given.origins.clone(), given.directions.clone()
        assert torch.autograd.gradcheck(
            seen, (origins.requires_grad_(), directions.requires_grad_()), atol=1e-6
        )

    def test_places_are_given_to_the_fine_network(self) -> None:
        """The coarse network learns from its own colour alone."""
        field, renderer = make_field(), make_renderer()
        draws = drawn(renderer)
        seen = renderer(field, rays(), draws)
        seen.colour.sum().backward(retain_graph=True)
        assert all(p.grad is None for p in field.coarse.parameters())
        assert field.fine is not None
        assert all(p.grad is not None and p.grad.any() for p in field.fine.parameters())
        assert seen.coarse is not None
        before = {n: p.grad.clone() for n, p in field.fine.named_parameters() if p.grad is not None}
        seen.coarse.sum().backward()
        assert all(p.grad is not None and p.grad.any() for p in field.coarse.parameters())
        after = {n: p.grad for n, p in field.fine.named_parameters() if p.grad is not None}
        assert all(torch.equal(before[n], after[n]) for n in before)
