"""Reads a recorded history: JSON lines as test/faults/histories/record.ts writes them.

Times are whole microseconds of one clock, that of the process which ran the clients. No stamp that a node
made is used, but for two opaque tokens: the entity tag, which names a value in a condition, and the write id, by
which a node tells what it lost.
"""

import json

NEVER = 1 << 62
"""The completion time of an operation that got no answer."""

WRITES = ("set", "push", "patch", "delete")


class Operation:
    """One request of a client. `value` is the unique id that it writes; None for a delete and for a read."""

    def __init__(self, line, number):
        self.line = line
        self.number = number
        self.id = line["id"]
        self.process = line.get("process")
        self.node = line["node"]
        self.at = line.get("at") or line["node"]
        self.key = line.get("key")
        self.op = line["op"]
        self.value = line.get("value")
        self.expects = line.get("expects")
        self.if_match = line.get("ifMatch")
        self.if_none_match = bool(line.get("ifNoneMatch"))
        self.ack = line.get("ack", "local")
        self.acked = line.get("acked")
        self.invoke = line["invoke"]
        self.complete = line["complete"] if line.get("complete") is not None else NEVER
        self.outcome = line["outcome"]
        self.status = line.get("status")
        self.seen = line.get("seen")
        self.etag = line.get("etag")
        self.write_id = line.get("writeId")
        self.observed = False

    @property
    def is_write(self):
        return self.op in WRITES

    @property
    def is_conditional(self):
        return self.if_match is not None or self.if_none_match

    @property
    def is_ok(self):
        return self.outcome == "ok"

    @property
    def may_have_happened(self):
        return self.outcome != "fail"

    def confirms(self, wanted):
        """Whether the answer says so much: local, a number of other nodes, or a majority of the voters."""
        if not self.is_ok or wanted == "local":
            return self.is_ok
        if self.ack == wanted and self.status in (200, 204):
            return True
        acked = self.acked or ""
        return acked == wanted or (wanted.isdigit() and acked.isdigit() and int(acked) >= int(wanted))

    def text(self):
        """The evidence line: where it is in the file, and what it did."""
        what = self.value if self.op != "read" else f"saw {value_of(self.seen)}"
        if self.op == "delete":
            what = "-"
        condition = ""
        if self.if_match is not None:
            condition = f" if it is {self.expects}"
        elif self.if_none_match:
            condition = " if it is absent"
        until = "no answer" if self.complete == NEVER else f"{self.complete / 1e6:.3f} s"
        place = self.node if self.at == self.node else f"{self.node}, decided by {self.at}"
        return (
            f"line {self.number}: {self.op} {self.key} {what}{condition} at {place},"
            f" {self.invoke / 1e6:.3f} s to {until}: {self.outcome} ({self.status}, ack {self.acked})"
        )


def value_of(document):
    """The unique id inside a stored document; None when it is absent, a text that names it when it is strange."""
    if document is None:
        return None
    if isinstance(document, dict) and isinstance(document.get("id"), str):
        return document["id"]
    return f"strange:{json.dumps(document)}"


class History:
    """Everything that one round recorded."""

    def __init__(self, lines):
        self.header = {}
        self.operations = []
        self.events = []
        self.finals = []
        self.conflicts = []
        self.fates = {}
        self.healed = None
        self.equal = None
        for number, text in enumerate(lines, 1):
            if text.strip():
                self._take(json.loads(text), number)
        self.by_value = {}
        for operation in self.operations:
            if operation.is_write and operation.value is not None:
                if operation.value in self.by_value:
                    raise ValueError(f"the value {operation.value} is written twice")
                self.by_value[operation.value] = operation
        self._adopt_pushes()

    def _take(self, line, number):
        kind = line["type"]
        if kind == "header":
            self.header = line
        elif kind == "op":
            self.operations.append(Operation(line, number))
        elif kind == "event":
            self.events.append(line)
        elif kind == "final":
            self.finals.append(line)
        elif kind == "conflicts":
            self.conflicts.append(line)
        elif kind == "fate":
            self.fates.setdefault(line["id"], []).append(line["answer"])
        elif kind == "healed":
            self.healed = line["time"]
        elif kind == "equal":
            self.equal = line["time"]
        else:
            raise ValueError(f"line {number} is of no known type: {kind}")

    def _adopt_pushes(self):
        """A push that got no answer has no key, until somebody sees its value."""
        for key, value in self._sightings():
            operation = self.by_value.get(value)
            if operation is None:
                continue
            operation.observed = True
            if operation.key is None:
                operation.key = key

    def _sightings(self):
        for operation in self.operations:
            if operation.op == "read" and operation.is_ok:
                yield operation.key, value_of(operation.seen)
        for final in self.finals:
            for key, document in final["keys"].items():
                yield key, value_of(document)
        for log in self.conflicts:
            for entry in log["entries"]:
                yield entry["key"], value_of(entry["data"])

    def keys(self):
        """Every key that was written, read or found."""
        names = {operation.key for operation in self.operations if operation.key is not None}
        for final in self.finals:
            names.update(final["keys"])
        return sorted(names)
