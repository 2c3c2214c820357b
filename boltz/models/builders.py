"""Builders of Helmholtz machines: sigmoid belief net, variational autoencoder, deep belief net."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from boltz import checks, scale
from boltz.arrays import beside
from boltz.errors import InputError
from boltz.models.boltzmann import BoltzmannMachine
from boltz.models.chosen import (
    DECODERS,
    factors_inside,
    flows_of,
    image_shape,
    latent_sizes,
    masked_decoder,
    parted,
    residual_nets,
    sizes_of,
    visible_kind,
)
from boltz.models.documents import log_frequencies
from boltz.models.files import first_levels, visible_rows
from boltz.models.graph import MOST_LAYERS, Graph, Layer
from boltz.models.helmholtz import HelmholtzMachine, empty
from boltz.models.scaling import Scaling
from boltz.models.structure import Structure
from boltz.models.views import alone, views_of
from boltz.nn.arena import Tape
from boltz.nn.conditionals import CONDITIONALS
from boltz.nn.factors import Dense, fitting
from boltz.rng import Key
from boltz.units import kind_of, units_of
from boltz.units.holes import first_guesses, parted_holes
from boltz.units.onehot import by_columns
from boltz.units.states import inside, largest_state, smoothed

Array = NDArray[Any]
LEAST_COUPLED = 3  # units that couplings within a set are told of
GUIDE = "for couplings within a layer see boltz.ising and 'Any Ising model' in the guide for physicists"


def helmholtz(
    units: Sequence[int],
    kinds: Sequence[str],
    widths: Sequence[Sequence[int]] = (),
    x: Any = None,
    seed: int = 0,
    activation: str = "tanh",
) -> HelmholtzMachine:
    """A Helmholtz machine with layers of any kinds, "bernoulli" or "gaussian", the first of them visible.

    widths[i] are the deterministic layers between layer i and layer i + 1, from the bottom; none at all makes every
    conditional linear. Weights are uniform as in Glorot & Bengio (2010), biases 0. With x (rows, units), of which at
    most 10,000 rows evenly spaced count, those of binary visible units fit its mean, and Gaussian visible units are
    measured from the mean of their column of x, in its spread, so that results follow the units of the data: without x,
    training takes both from its rows. Of a constant column nothing is learnt. Raises InputError.
    """
    sizes = sizes_of(units, "units", 2)
    listed = checks.sequence(kinds, "kinds", MOST_LAYERS)
    if len(listed) != len(sizes):
        raise InputError(f"kinds must name one kind for each of the {len(sizes)} layers, got {len(listed)}.")
    chosen = [checks.choice(kind, f"kinds[{i}]", CONDITIONALS) for i, kind in enumerate(listed)]
    groups = checks.sequence(widths, "widths", MOST_LAYERS) or [()] * (len(sizes) - 1)
    if len(groups) != len(sizes) - 1:
        raise InputError(f"widths must hold one list for each of the {len(sizes) - 1} conditionals, got {len(groups)}.")
    inner = tuple(tuple(sizes_of(group, f"widths[{i}]", 0)) for i, group in enumerate(groups))
    return machine_of_structure(Structure(_layers(sizes, chosen), inner, activation), x, seed)


def sbn(
    units: Sequence[int],
    widths: Sequence[int] = (),
    x: Any = None,
    seed: int = 0,
    activation: str = "tanh",
    visible: str = "bernoulli",
    *,
    conditionals: str = "dense",
    conditional_units: int | None = None,
    prior: str = "factorial",
    prior_units: int | None = None,
) -> HelmholtzMachine:
    """A sigmoid belief net with recognition net (Hinton et al. 1995), units[0] visible, hidden layers binary.

    widths are the deterministic layers inside each conditional; none makes them linear. visible is "bernoulli" or
    "gaussian", as in vae. Parameters start as in helmholtz.

    Units of a layer are independent given the layer above ("dense", "factorial"), or each hears those before it as well
    (Bornschein & Bengio 2015): with conditionals "nade" or "made" in every layer that has one above it, with prior
    "nade" or "made" in the top one. conditional_units and prior_units are the hidden units of each such net (100), and
    widths are then those of recognition alone. Units of such layers are binary. Raises InputError, also for an argument
    that would do nothing.
    """
    sizes = sizes_of(units, "units", 2)
    inner = tuple(sizes_of(widths, "widths", 0))
    kinds = [checks.choice(visible, "visible", CONDITIONALS), *["bernoulli"] * (len(sizes) - 1)]
    layers = _layers(sizes, kinds)
    factors = factors_inside(layers, (conditionals, conditional_units), (prior, prior_units))
    structure = Structure(layers, (inner,) * (len(sizes) - 1), activation, factors=factors)
    return machine_of_structure(structure, x, seed)


def vae(
    units: Sequence[Any],
    latent: Any = 50,
    x: Any = None,
    seed: int = 0,
    activation: str | None = None,
    visible: str = "bernoulli",
    *,
    encoder: str = "dense",
    decoder: str = "dense",
    prior: str = "normal",
    posterior: str = "gaussian",
    image: Any = None,
    residual_maps: Sequence[int] | None = None,
    receptive_field: int | None = None,
    filters: int | None = None,
    maps: int | None = None,
    tied: bool | None = None,
    flow_steps: int | None = None,
    flow_widths: Sequence[int] | None = None,
    levels: int | None = None,
    mixture: int | None = None,
) -> HelmholtzMachine:
    """A variational autoencoder (Kingma & Welling 2014) with Gaussian hidden layers, units[0] visible.

    One layer: units = [784, 200, 200] names the deterministic layers of the encoder, which the decoder mirrors, and
    latent its Gaussian units. More: units = [784, [200, 200], [100, 100]] names those below each of latent = [100, 50],
    as in Burda, Grosse & Salakhutdinov (2016). Parameters start as in helmholtz.

    visible says what rows are. "bernoulli": numbers in [0, 1], chances of on. "gaussian": any finite numbers, each
    column in its own units. "levels", for decoder "pixelcnn": whole numbers from 0 to levels - 1, which the encoder
    hears as points from -1 to 1, with a mixture of so many discretised logistic laws (5; Salimans et al. 2017).

    encoder "resnet", for binary images and one hidden layer: residual blocks of 3 x 3 convolutions below the
    deterministic layers, mirrored by the decoder (Chen et al. 2017). Each of residual_maps (16, 32, 32) halves the
    image. activation None is "elu" then, else "tanh".

    decoder "pixelcnn" makes a variational lossy autoencoder (Chen et al. 2017): pixels hear those so many rows above
    and to their left as receptive_field (6) says, by so many filters (12), with one set of weights where they are tied,
    and so many maps (4) of the net. image is (height, width) or (height, width, channels), the channels of a pixel side
    by side; None for that of x or a square. prior "flow" is an autoregressive flow of flow_steps (2) with dense layers
    of flow_widths (320; section 3.2 there), "coupling" one of affine couplings (Dinh et al. 2017). posterior "iaf" puts
    such a flow behind the draw of each encoder (Kingma et al. 2016), whose density of other states goes unit by unit.
    Raises InputError, also for an argument that would do nothing.
    """
    count, widths = parted(units)
    sizes = latent_sizes(latent, len(widths))
    kinds = [visible_kind(visible, levels, mixture, decoder), *["gaussian"] * len(sizes)]
    residual = residual_nets(encoder, residual_maps, (count, image, x, sizes, visible))
    activation = ("tanh" if residual is None else "elu") if activation is None else activation
    masked = {"receptive_field": receptive_field, "filters": filters, "tied": tied, "maps": maps}
    shape = image_shape(image, x, count) if checks.choice(decoder, "decoder", DECODERS) == "pixelcnn" else None
    own = masked_decoder(decoder, masked, shape, (sizes[0], widths[0], activation), residual, (levels, mixture))
    if decoder == "dense" and residual is None and image is not None:
        raise InputError("image would do nothing: it needs encoder resnet or decoder pixelcnn.")
    top, behind = flows_of(prior, posterior, sizes, (flow_steps, flow_widths))
    layers = _layers([count, *sizes], kinds)
    structure = Structure(layers, widths, activation, "factorial", (*own, *top), behind, residual=residual)
    return machine_of_structure(structure, x, seed)


def dbn(units: Sequence[int], x: Any = None, seed: int = 0, dtype: Any = np.float32) -> HelmholtzMachine:
    """A deep belief net (Hinton, Osindero & Teh 2006): an RBM of the two upper layers above linear conditionals.

    Weights are normal with standard deviation 0.01, those of recognition the transposes of those of generation; biases
    as in helmholtz. Raises InputError.
    """
    sizes = sizes_of(units, "units", 3)
    dtype = checks.floating(dtype, "dtype")
    layers = _layers(sizes, ["bernoulli"] * len(sizes))
    machine = empty(Structure(layers, ((),) * (len(sizes) - 2), prior="rbm"), dtype)
    key = Key.from_seed(seed)
    for name, value in machine.params.items():
        if name.endswith("weight") and not name.startswith("recognition"):
            value[...] = 0.01 * key.derive("weights", name).generator().normal(size=value.shape)
    for below, above in zip(machine.layers, machine.structure.latent, strict=False):
        machine.params[f"recognition/{above.name}/0/weight"][...] = machine.params[
            f"generative/{below.name}/0/weight"
        ].T
    return _fitted(machine, x)


def _layers(sizes: Sequence[int], kinds: Sequence[str]) -> tuple[Layer, ...]:
    names = ["v", *(f"h{i}" for i in range(1, len(sizes)))]
    return tuple(Layer(*entry) for entry in zip(names, sizes, kinds, strict=True))


def machine_of_structure(structure: Structure, x: Any, seed: int) -> HelmholtzMachine:
    """A machine as its factors and its recognition nets start."""
    machine = empty(structure, np.float32)
    key = Key.from_seed(seed)
    for layer, factor in machine.factors.items():
        factor.start(structure.factor_name(layer), machine.params, key)
    for layer, net in structure.recognition.items():
        net.start(f"recognition/{layer}", machine.params, key, machine.units[layer])
    for layer, flow in structure.flows.items():
        flow.start(f"recognition/{layer}/flow", machine.params, key)
    return _fitted(machine, x)


def _fitted(machine: HelmholtzMachine, x: Any) -> HelmholtzMachine:
    """The new machine with output biases at the logits of the mean of some rows, or in the units of these."""
    if x is None:
        return machine
    visible = machine.layers[0]
    if visible.kind == "gaussian":
        x = _real_rows(x, visible.units)
        checks.real_rows(x, "x", visible.units, machine.dtype)
        return scaled(machine, np.asarray(x))
    (child, parent), factor = machine.structure.chain[0], machine.factors[visible.name]
    rows = first_levels(x, machine) if visible.levels else scale.first_rows(x, visible.units)
    rows = rows[: factor.fitted_rows]
    place = machine.place(child, parent, Tape(machine.arena).whole(len(rows)))
    if parent is not None and not (isinstance(factor, Dense) and not factor.hears_noise):
        noise = Key(0, 0).derive("fit").generator().normal(size=(len(rows), parent.units))
        place.part.get(place.given, parent.units)[...] = noise > 0 if parent.binary else noise
    factor.fit(place, rows)
    for layer, encoder in list(machine.encoders.items())[:1]:
        place.part.get(f"state/{visible.name}", visible.units)[...] = rows
        encoder.fit(machine.encoder_place(layer, place.part))
    return machine


def _real_rows(x: Any, units: int) -> Array:
    """Some rows of x (rows, units) in the units of the data, which for grey bytes are 0 to 1; raises InputError."""
    levels = getattr(x, "levels", None) or 1
    found = scale.table(checks.initial_rows(x.x if hasattr(x, "fingerprint") else x), "x", units)
    if levels == 1 and found.dtype == np.uint8 and len(found) and found.max() >= scale.LEAST_GREY:
        raise InputError("x holds grey bytes (uint8) of unknown units: give x / 255, or a Data of load_data.")
    return np.divide(found, levels) if levels > 1 else found


def scaled(machine: Any, rows: Array, known: Array | None = None) -> Any:
    """The machine with Gaussian visible units in the units of finite rows (rows, units); its parameters are copied.

    Constant columns have no weights, neither to nor from them. known: which entries count, None for all.
    """
    scaling, visible = Scaling.of(rows, known), machine.visible
    found, constant = replace(machine, arena=machine.arena.copy(), scaling=scaling), scaling.constant
    if isinstance(machine, BoltzmannMachine):
        for edge in machine.graph.edges:
            if edge.lower == visible:
                found.params[edge.key][beside(constant, found.arena)] = 0
        return found
    if visible not in machine.structure.generative:
        raise InputError("Gaussian visible units belong to a machine whose visible units are those of a dense net.")
    first = machine.structure.latent[0].name
    found.params[f"recognition/{first}/0/weight"][: len(constant)][constant] = 0
    net = machine.structure.generative[visible]
    last = len(net.sizes) - 2
    for part in ("weight", "bias"):
        found.params[f"generative/{visible}/{last}/{part}"][..., np.tile(constant, 2)] = 0
    return found


def dbm(
    layers: Sequence[int],
    x: Any = None,
    seed: int = 0,
    dtype: Any = np.float32,
    initial_scale: Any = 0.01,
    units: Any = "bernoulli",
) -> BoltzmannMachine:
    """A deep Boltzmann machine with small random weights, layers[0] visible.

    - layers: units of each layer from the bottom.
    - x: data (rows, units), so that visible biases fit its mean, over at most 10,000 rows evenly spaced (Hinton 2012,
      section 8.1). Gaussian units are measured from the mean of their column, in its spread. Biases of counts are logs
      of word frequencies, with one word of each added.
    - initial_scale: standard deviation of the weights, one number or one for each pair of neighbouring layers from the
      bottom, divided by n for each layer of binomial units; hidden biases are 0. Where boltz.train pretrains the bottom
      pair alone, upper layers have 0.05 after it.
    - units: the kind of all units, or one kind for each layer: "bernoulli" (0 and 1), "spin" (-1 and 1), "gaussian"
      (any real number), "rectified" (from 0 up), "drelu" (any real number, with two sides), ("categorical", q) for one
      of q states, whose rows of data are whole numbers from 0 to q - 1, one for each unit, or one-hot columns, or
      ("binomial", n) for whole numbers from 0 to n, such as how many of n trials came off.
      Layers of real numbers must not be neighbours. Visible units may be "counts": rows are counts of words, each a
      document of its own length (replicated softmax).

    Raises InputError.
    """
    listed = checks.sequence(layers, "layers", MOST_LAYERS)
    sizes = [checks.integer(n, f"layers[{i}]", 1, 10**7) for i, n in enumerate(listed)]
    if len(sizes) < 2:
        raise InputError(f"layers must name at least a visible and a hidden layer, got {sizes}.")
    dtype, seed, kinds = checks.floating(dtype, "dtype"), checks.seed(seed), _kinds(units, len(sizes))
    scales = _scales(initial_scale, len(sizes) - 1)
    graph = Graph.chain([n * units_of(kind).columns for n, kind in zip(sizes, kinds, strict=True)], kinds)
    arena = np.zeros(checks.affordable(graph.parameters, "the number of parameters by layers", dtype.itemsize), dtype)
    machine = BoltzmannMachine(graph, arena)
    for edge, spread in zip(graph.edges, scales, strict=True):
        key = Key.from_seed(seed).derive("weights", edge.key)
        weight = machine.params[edge.key]
        reach = largest_state(machine.unit_type(edge.lower)) * largest_state(machine.unit_type(edge.upper))
        weight[...] = spread / reach * key.generator().normal(size=weight.shape)
    return machine if x is None else begun(machine, x)


def begun(machine: BoltzmannMachine, x: Any) -> BoltzmannMachine:
    """The machine with visible biases that fit some rows of x; Gaussian units in the units of these.

    x holds arrays by view, or columns side by side, where there are several visible layers. Raises InputError.
    """
    if len(machine.graph.views) > 1:
        return _views_begun(machine, x)
    layer, bias = machine.layers[0], machine.bias(machine.visible)
    x, known = parted_holes(x, "x", layer)
    if known is not None:
        key = Key.from_seed(0).derive("guesses")
        x = first_guesses(scale.table(by_columns(x, layer, "x"), "x", layer.units), known, layer.columns, key)
    if known is not None and layer.kind == "gaussian":
        checks.real_rows(x, "x", layer.units, machine.dtype)
        return scaled(machine, x, known)
    if layer.binary:
        rows = scale.first_rows(x, layer.units)
        bias[...] = fitting(rows)
        return machine
    if layer.kind == "gaussian":
        rows = _real_rows(x, layer.units)
        checks.real_rows(rows, "x", layer.units, machine.dtype)
        return scaled(machine, np.asarray(rows))
    if layer.type.joint:
        bias[...] = log_frequencies(x, layer)
        return machine
    kind, rows = layer.type, visible_rows(machine, checks.initial_rows(x.x if hasattr(x, "fingerprint") else x))
    bias[...] = kind.natural(inside(kind, smoothed(kind, rows.sum(axis=0, dtype=np.float64), len(rows)), 0.001))
    return machine


def views_scaled(machine: BoltzmannMachine, x: Array, known: Any = None) -> BoltzmannMachine:
    """The machine with Gaussian visible layers in the units of rows x (rows, columns) of all visible layers side by
    side; its parameters are copied. known: which entries count, None for all.
    """
    location, spread = np.zeros(x.shape[1]), np.ones(x.shape[1])
    found = replace(machine, arena=machine.arena.copy())
    for name, part in machine.graph.columns.items():
        if machine.graph.kinds[name] != "gaussian":
            continue
        own = Scaling.of(x[:, part], None if known is None else known[:, part])
        location[part], spread[part] = own.location, own.spread
        for edge in machine.graph.edges:
            if edge.lower == name and edge.pairs is None:
                found.params[edge.key][beside(own.constant, found.arena)] = 0
    scaling = Scaling(location, spread)
    return found if scaling.as_they_are else replace(found, scaling=scaling)


def _views_begun(machine: BoltzmannMachine, x: Any) -> BoltzmannMachine:
    """The same of several visible layers, each as if it were alone."""
    found, columns = replace(machine, arena=machine.arena.copy()), machine.columns
    location, spread = np.zeros(columns), np.ones(columns)
    for name, rows in views_of(machine.graph, x, "x").items():
        one = begun(alone(machine, name), rows)
        for parameter, own in one.own(name).items():
            found.own(name)[parameter][...] = own
        if one.scaling is not None:
            location[machine.graph.columns[name]] = one.scaling.location
            spread[machine.graph.columns[name]] = one.scaling.spread
            for edge in machine.graph.edges:
                if edge.lower == name and edge.pairs is None:
                    found.params[edge.key][one.scaling.constant] = 0
    scaling = Scaling(location, spread)
    return found if scaling.as_they_are else replace(found, scaling=scaling)


def _kinds(value: Any, layers: int) -> list[str]:
    """The kind of each of so many layers: one for all, or one each; raises InputError."""
    pair = isinstance(value, tuple | list) and len(value) == 2 and not isinstance(value[1], str | tuple | list)
    if isinstance(value, str) or pair:
        return [kind_of(value, "units")] * layers
    listed = checks.sequence(value, "units", MOST_LAYERS)
    if any(isinstance(each, int | np.integer) for each in listed):
        raise InputError("units must name kinds of units, such as spin: numbers of units are layers.")
    if len(listed) != layers:
        raise InputError(f"units must name one kind, or one for each of the {layers} layers, got {len(listed)}.")
    return [kind_of(each, f"units[{i}]") for i, each in enumerate(listed)]


def _scales(value: Any, pairs: int) -> list[float]:
    """Standard deviations of the weights of each pair of layers; raises InputError."""
    if not isinstance(value, list | tuple):
        return [checks.number(value, "initial_scale", 0, 1e6)] * pairs
    if len(value) != pairs:
        raise InputError(f"initial_scale must be one number, or one for each of the {pairs} pairs, got {len(value)}.")
    return [checks.number(each, f"initial_scale[{i}]", 0, 1e6) for i, each in enumerate(value)]


def rbm(
    visible: int,
    hidden: int,
    x: Any = None,
    seed: int = 0,
    dtype: Any = np.float32,
    initial_scale: float = 0.01,
    units: Any = "bernoulli",
    hidden_units: Any = "bernoulli",
) -> BoltzmannMachine:
    """A restricted Boltzmann machine (Smolensky 1986) with small random weights; raises InputError.

    units and hidden_units are kinds of visible and hidden units, and everything else is as in dbm.
    """
    sizes = [checks.integer(n, name, 1, 10**7) for name, n in (("visible", visible), ("hidden", hidden))]
    kinds = [kind_of(units, "units"), kind_of(hidden_units, "hidden_units")]
    return dbm(sizes, x, seed, dtype, initial_scale, kinds)


def from_arrays(
    weights: Sequence[Any],
    biases: Sequence[Any],
    units: Any = "bernoulli",
    parameters: Mapping[str, Mapping[str, Any]] | None = None,
) -> BoltzmannMachine:
    """A machine from weights W_l (n_l, n_(l+1)) and biases b_l (n_l,), one more than weights; raises InputError.

    units are kinds as in boltz.dbm, one for all layers or one each; n_l counts the columns of layers of kind
    ("categorical", q), q of each unit. parameters are those that units have beside a bias, by layer and name, such as
    {"v": {"log_variance": ...}} of Gaussian units, 0 where they are not named.

    Units of a layer are not coupled to each other. What looks like the symmetric couplings of one set of n units warns:
    it makes two layers, of n units each. docs/guides/physicists.md says how any Ising model becomes a machine.
    """
    weights, biases = (checks.sequence(x, n, MOST_LAYERS) for x, n in ((weights, "weights"), (biases, "biases")))
    if len(weights) < 1 or len(biases) != len(weights) + 1:
        raise InputError(
            f"biases must hold one array more than weights (at least one), got {len(biases)} and {len(weights)}"
            + (f": no layer has couplings within it; {GUIDE}." if len(biases) == 1 else ".")
        )
    found = [checks.array(b, f"biases[{i}]", (None,)) for i, b in enumerate(biases)]
    sizes = [len(b) for b in found]
    if 0 in sizes:
        raise InputError(f"biases[{sizes.index(0)}] must have at least one unit, got none.")
    matrices = [checks.array(w, f"weights[{i}]", (sizes[i], sizes[i + 1])) for i, w in enumerate(weights)]
    dtype = np.result_type(*matrices, *found)
    graph = Graph.chain(sizes, _kinds(units, len(sizes)))
    if graph.binary:
        _warn_of_couplings(matrices, found)
    own = _own(graph, {} if parameters is None else parameters)
    return BoltzmannMachine(
        graph, np.concatenate([a.astype(dtype, copy=False).reshape(-1) for a in (*matrices, *found, *own)])
    )


def _own(graph: Graph, parameters: Any) -> list[Array]:
    """What units have beside a bias, in the order of the arena; raises InputError."""
    checks.instance(parameters, "parameters", Mapping)
    for layer, named in parameters.items():
        checks.instance(named, f"parameters[{checks.brief(layer)}]", Mapping)
        wanted = graph.own_shapes.get(layer, {})
        for name in named:
            if name not in wanted:
                known = ", ".join(wanted) or "none"
                raise InputError(
                    f"parameters must name what layers have beside a bias, got {checks.brief(name)} of "
                    f"{checks.brief(layer)}, which has {known}."
                )
    return [
        checks.array(parameters.get(layer, {}).get(name, np.zeros(shape)), f"parameters[{layer!r}][{name!r}]", shape)
        for layer, shapes in graph.own_shapes.items()
        for name, shape in shapes.items()
    ]


def _warn_of_couplings(weights: Sequence[Array], biases: Sequence[Array]) -> None:
    """Say that what looks like couplings within one set of units makes a machine of twice as many."""
    first, units = weights[0], len(weights[0])
    if len(weights) > 1 or units < LEAST_COUPLED or not first.any() or first.shape[1] != units:
        return
    if (first == first.T).all() and not first.diagonal().any() and (biases[0] == biases[1]).all():
        warnings.warn(
            f"weights[0] is symmetric without a diagonal, and both biases are the same, as if it coupled {units} units "
            f"to each other; this machine has two layers of {units} units, {2 * units} in all: {GUIDE}.",
            UserWarning,
            stacklevel=3,
        )
