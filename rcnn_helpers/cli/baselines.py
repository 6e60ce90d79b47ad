"""``rcnn baselines``."""

from rcnn_helpers.cli.experiments import (
    cache_to_share,
    data_to_compare_on,
    detection_options,
    finetune_settings,
    network_of,
    proposals_of,
    roles_of_splits,
    weights_by_network,
)
from rcnn_helpers.cli.options import DESCRIPTORS, add_parser
from rcnn_helpers.cli.output import save_tables
from rcnn_helpers.errors import SettingsError

_FINE_TUNED = "FT "


def baselines(options) -> None:
    """Put raw pixels, HOG, a bag of visual words and the network's layers in the same place of the detector.

    Proposals, linear SVMs with hard negatives, suppression and evaluation are the same for all. Networks, their
    features and the proposals are those of rcnn ablate, and are found again where that command has left them.
    Choose settings on data that you do not report on: --split train --test-split val.
    """
    from rcnn_helpers.baselines import compare, format_table

    network, max_proposals, cache = network_of(options), proposals_of(options), cache_to_share(options)
    features = options.features or [*DESCRIPTORS, *_network_layers(network)]
    _require_known(features, network)
    print(
        f"{', '.join(features)}; seeds {', '.join(map(str, options.seeds))}; {roles_of_splits(options)}; "
        f"{max_proposals} proposals an image",
        flush=True,
    )
    frame = compare(
        lambda seed, train, test: _contestants(
            features, options, seed, train, test, network=network, cache=cache, max_proposals=max_proposals
        ),
        data=lambda seed: data_to_compare_on(options, seed),
        cache=cache,
        seeds=options.seeds,
        max_proposals=max_proposals,
        metric=options.metric,
    )
    print(
        "\nmAP in %; ± is the standard deviation over the seeds. To train a network takes time of its own; an"
    )
    print("image's proposals too. Memory is that of linear detectors of so many classes.")
    print(format_table(frame))
    save_tables(options, frame)


def _network_layers(network: str) -> list[str]:
    """All layers of a network as it is, and its last one fine-tuned."""
    from rcnn_helpers.networks import NETWORKS

    layers = list(NETWORKS[network].shapes)
    return [*layers, _FINE_TUNED + layers[-1]]


def _require_known(features: list[str], network: str) -> None:
    from rcnn_helpers.baselines import handmade
    from rcnn_helpers.networks import NETWORKS

    layers = tuple(NETWORKS[network].shapes)
    for text in features:
        if text.partition(":")[0] in DESCRIPTORS:
            handmade(text)
        elif text.removeprefix(_FINE_TUNED) not in layers:
            raise SettingsError(
                f"there are no features {text!r}; choose among {', '.join(DESCRIPTORS)} and the layers of "
                f'{network}, {", ".join(layers)}, with "FT " before one that is to be fine-tuned'
            )


def _contestants(features, options, seed, train, test, *, network, cache, max_proposals) -> list:
    """What takes part, in the order asked for; a network is opened once for all of its layers."""
    from rcnn_helpers.ablation import Row, row_parts
    from rcnn_helpers.baselines import Contestant, NetworkLayer, handmade

    opened, found = {}, []
    for text in features:
        if text.partition(":")[0] in DESCRIPTORS:
            found.append(handmade(text, seed=seed))
            continue
        fine_tuned = text.startswith(_FINE_TUNED)
        if fine_tuned not in opened:
            row = Row(network=network, layer=text.removeprefix(_FINE_TUNED), fine_tuned=fine_tuned)
            opened[fine_tuned] = row_parts(
                row,
                train,
                test,
                cache=cache,
                seed=seed,
                finetune_settings=finetune_settings((row,), options),
                weights=weights_by_network(options.weights, network),
                max_proposals=max_proposals,
                device=options.device,
            )
        parts = opened[fine_tuned]
        layer = NetworkLayer(parts.network, text.removeprefix(_FINE_TUNED), name=text)
        found.append(Contestant(layer, stores=parts.stores))
    return found


def add(commands) -> None:
    """Add the parsers of these commands."""
    parser = add_parser(
        commands, "baselines", baselines, "compare features: pixels, HOG, visual words, network"
    )
    detection_options(parser)
    parser.add_argument(
        "--features",
        action="append",
        metavar="NAME[:KEY=VALUE,...]",
        help=f"any of {', '.join(DESCRIPTORS)}, with settings of its own as in hog:cells=10,C=1e-4, or a layer "
        'of the network, with "FT " before it if fine-tuned; can be given several times (default: all)',
    )
