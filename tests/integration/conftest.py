# SPDX-License-Identifier: Apache-2.0
"""Fixtures: real stacks (PostgreSQL and every process) started by deploy/stack.sh.

VG_BUILD names the build folder whose programs are tested, VG_NODE the folder that holds node_modules.
"""
import os
import pathlib
import sys

import pytest

sys.path.insert(0, str(pathlib.Path(__file__).parent))
sys.path.insert(0, str(pathlib.Path(__file__).parents[1]))  # simulators
import clients  # noqa: E402
import planted  # noqa: E402
from vg import BUILD, Stack  # noqa: E402


@pytest.fixture(scope="session")
def stack(tmp_path_factory):
    """One stack that well-behaved tests share."""
    with Stack(tmp_path_factory.mktemp("stack")) as shared:
        yield shared


@pytest.fixture(scope="module")
def own_stack(tmp_path_factory, request):
    """A stack of this module's own, to be broken. A module variable STACK_ENV adds environment."""
    env = getattr(request.module, "STACK_ENV", {})
    with Stack(tmp_path_factory.mktemp("own"), env) as own:
        yield own


@pytest.hookimpl(hookwrapper=True)
def pytest_runtest_makereport(item, call):
    """A test marked with a client's name and methods is what README.md says about them."""
    report = (yield).get_result()
    for mark in item.iter_markers("client") if report.when == "call" else ():
        for method in mark.args[1:]:
            result = "ok" if report.passed else clients.NOT_YET if report.skipped else "failed: " + item.name
            clients.record(item.module.__name__, mark.args[0], method, result)


def check_planted(session):
    """No log of anything that ran says a key, a secret, a prompt or a token that the tests have planted; nothing has left a core."""
    factory = getattr(session.config, "_tmp_path_factory", None)
    folders = [factory.getbasetemp()] if factory and factory._basetemp else []
    for log, kind, text in planted.found(folders):
        print(f"\n{log} has a {kind}: {text[:60]!r}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED
    for core in planted.cores(folders):
        print(f"\na core: {core}")
        session.exitstatus = pytest.ExitCode.TESTS_FAILED


def pytest_sessionfinish(session):
    check_planted(session)
    chosen = session.config.option.keyword or any("::" in one for one in session.config.args)
    clients.save(BUILD, whole=not chosen)


def pytest_configure(config):
    config.addinivalue_line("markers", "client(name, method, ...): what a pass says in README.md's table of clients")
    for name in ("VG_BUILD", "VG_NODE"):
        if not os.environ.get(name):
            raise pytest.UsageError(f"{name} is not set; run tests/run.sh integration")
