"""The small data set, what one process alone makes of it, and the engines that shall make the same."""

import sys
from pathlib import Path

import joblib
import pytest

sys.path.insert(0, str(Path(__file__).parent))
import shapes


@pytest.fixture(scope="package")
def dataset(tmp_path_factory):
    root = tmp_path_factory.mktemp("voc")
    shapes.write_voc(root)
    return shapes.open_voc(root)


@pytest.fixture(scope="package")
def alone(dataset, tmp_path_factory) -> Path:
    """Cache of a run in this process."""
    cache = tmp_path_factory.mktemp("alone")
    shapes.fill(dataset, cache)
    return cache


@pytest.fixture(scope="package")
def detector(dataset, alone):
    """Trained on what is in the cache, which no test may change."""
    return shapes.trained(dataset, alone)


@pytest.fixture(scope="package")
def dask_cluster():
    """Two processes with one thread each, on this machine's loopback alone."""
    distributed = pytest.importorskip("distributed")
    with (
        distributed.LocalCluster(
            n_workers=2, threads_per_worker=1, dashboard_address=None, host="127.0.0.1"
        ) as cluster,
        distributed.Client(cluster) as client,
    ):
        client.run(sys.path.insert, 0, str(Path(__file__).parent))
        yield client


@pytest.fixture(params=["loky", "threading", "dask"])
def engine(request):
    """Settings of `joblib.parallel_config`."""
    if request.param == "dask":
        request.getfixturevalue("dask_cluster")
        return {"backend": "dask"}
    return {"backend": request.param, "n_jobs": 2}


@pytest.fixture
def spread(engine):
    """The one line that changes the engine."""
    with joblib.parallel_config(**engine):
        yield engine
