# SPDX-License-Identifier: Apache-2.0
"""What tests/conformance asks of the bridge in every CI run, counted for RESULTS.md."""
import pathlib
import sys

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "conformance"))
import test_http1  # noqa: E402
import test_http2  # noqa: E402
from scenario import scenario  # noqa: E402
from target import Bridge, run  # noqa: E402

ROW, TITLE, BOUND = "conformance", "What RFC 9113, 7541, 9112 and 9110 ask of a server", "every case"


@scenario(short=1, long=1, world=False, ci=False)
def cases(world, dice, rounds):
    rows = []
    for suite in (test_http1, test_http2):
        with Bridge(pathlib.Path(world.folder) / "bridge.log", log_level="warn", max_client_strikes=0) as bridge:
            failures, counts = run(suite.CASES, suite.one_case(bridge.port), suite.NAME)
        assert not failures, "\n".join(failures)
        rows.append({"of": suite.NAME, "cases": len(suite.CASES), "passed": len(suite.CASES) - len(failures), "sections": len(counts)})
    return {"cases": sum(row["cases"] for row in rows), "passed": sum(row["passed"] for row in rows), "table": rows}
