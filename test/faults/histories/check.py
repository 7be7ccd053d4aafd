#!/usr/bin/env python3
"""Judges a recorded history of a cluster: python3 check.py history.jsonl [--ask | --registers | --json] [--session-order] [--strict]

It shares no code with the product and reads no stamps. What it holds the nodes to:

- lost: a key that is absent, or a value that was overwritten, without an operation that explains it
- undone: the final value was followed by an acknowledged operation; a delete that came back
- went back: a node showed a value that it had replaced before
- not converged: nodes that differ 30 s after everything was healed
- not linearizable: conditional writes of a key that fit no single order
- unexplained: a value that nobody wrote

--ask prints the operations whose fate has to be asked of the nodes before the history can be judged, as JSON.
--registers prints the conditional writes of each key, for another program to search them for an order.
Exit code 1 when anything was found, 2 when the history can not be read.
"""

import argparse
import json
import sys

from history import History, value_of
from key_check import Findings, KeyCheck

CONVERGE_US = 30_000_000


def judge(history, sessions=False, strict=False):
    """Findings and figures of a whole history."""
    findings = Findings()
    figures = dict.fromkeys(
        (
            "inConflictLog",
            "overridden",
            "notJudgedLogFull",
            "unreportedWrongClock",
            "registers",
            "registersUndecided",
            "excused",
        ),
        0,
    )
    for key in history.keys():
        check = KeyCheck(history, key, findings, figures, sessions, strict)
        check.run()
        figures["excused"] += check.sweep.excused.bit_count()
    silent = set(history.header.get("nodes", [])) - {final["node"] for final in history.finals}
    if silent:
        findings.add("notConverged", "", f"no final answer from {', '.join(sorted(silent))}")
    late = history.equal is None or history.healed is None or history.equal - history.healed > CONVERGE_US
    if late and findings.counts["notConverged"] == 0:
        findings.add("notConverged", "", f"healed at {history.healed}, equal at {history.equal}")
    writes = [operation for operation in history.operations if operation.is_write]
    figures["writes"] = len(writes)
    figures["acknowledged"] = sum(write.is_ok for write in writes)
    figures["unanswered"] = sum(write.outcome == "unknown" for write in writes)
    figures["reads"] = len(history.operations) - len(writes)
    return findings, figures


def to_ask(history):
    """Losers that no conflict log names."""
    for key in history.keys():
        check = KeyCheck(history, key, Findings(), {})
        documents = list(check.finals.values())
        if not documents:
            continue
        for write in check.losers(value_of(documents[0])):
            if not check.is_in_conflict_log(write) and write.write_id is not None:
                yield {"id": write.id, "key": key, "writeId": write.write_id, "node": write.at}


def registers(history):
    """The registers with their steps, for another program that searches for an order."""
    for key in history.keys():
        check = KeyCheck(history, key, Findings(), {})
        steps = check.register()
        finals = list(check.finals.values())
        if steps is None or not finals:
            continue
        yield {
            "key": key,
            "final": value_of(finals[0]),
            "steps": [
                {
                    "invoke": step.invoke,
                    "complete": step.complete,
                    "needs": step.needs,
                    "gives": step.gives,
                    "refused": step.refused,
                    "required": step.required,
                }
                for step in steps
            ],
        }


def main():
    parser = argparse.ArgumentParser(description="Judges a recorded history of a cluster.")
    parser.add_argument("history")
    parser.add_argument("--ask", action="store_true", help="print whose fate has to be asked, as JSON")
    parser.add_argument("--registers", action="store_true", help="print the conditional writes, as JSON")
    parser.add_argument("--json", action="store_true", help="print the findings as JSON")
    parser.add_argument("--session-order", action="store_true", help="clients that move between nodes, too")
    parser.add_argument("--strict", action="store_true", help="wrong clocks excuse no loss without a report")
    options = parser.parse_args()
    try:
        with open(options.history, encoding="utf8") as lines:
            history = History(lines)
    except (OSError, ValueError, KeyError) as error:
        print(f"check.py: {options.history}: {error!r}", file=sys.stderr)
        return 2
    if options.ask:
        print(json.dumps(list(to_ask(history))))
        return 0
    if options.registers:
        print(json.dumps(list(registers(history))))
        return 0
    findings, figures = judge(history, options.session_order, options.strict)
    if options.json:
        print(json.dumps({"counts": findings.counts, "figures": figures, "evidence": findings.evidence}))
    else:
        print(", ".join(f"{kind}: {count}" for kind, count in findings.counts.items()))
        print(", ".join(f"{name}: {count}" for name, count in figures.items()))
        for found in findings.evidence:
            print(f"\n{found['kind']} {found['key']}: {found['text']}")
            for line in found["lines"]:
                print(f"  {line}")
    return 1 if any(findings.counts.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
