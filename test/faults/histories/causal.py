"""What each operation had seen, from what clients saw and nothing else.

An operation X follows an operation W of the same key when W was at the node that made X before X was invoked
there: W was acknowledged there, or read there. So it does when X was made on the condition that the value is that
of W. With `sessions` it also follows what the same client had read or written anywhere; the product does not promise
that for nodes that have not met. This is transitive. One sweep over time suffices: whatever an operation follows was invoked before it.

A node whose disk was lost, or replaced by an older one, knows afterwards what its backup held. What only it
had is excused. Sets of operations are bits of whole numbers.
"""

from history import value_of

UNKNOWN = "unknown"
"""In place of a node: nobody knows which one decided."""


class KeySweep:
    """The causal order of the operations of one key."""

    def __init__(self, history, key, sessions=False):
        self.history = history
        self.key = key
        self.sessions = sessions
        self.writes = [o for o in history.operations if o.is_write and o.key == key]
        self.reads = [o for o in history.operations if o.op == "read" and o.key == key and o.is_ok]
        self.bit = {o.id: 1 << i for i, o in enumerate(self.writes)}
        self.before = {}
        """By operation id: all that it follows."""
        self.known_at_read = {}
        """By id of a read: all that was at its node before it."""
        self.excused = 0
        self._known = {}
        self._session = {}
        self._held = {}
        self._backups = {}
        self._wiped = set()
        self._outer = 0
        for time, _, act, subject in sorted(self._moments(), key=lambda moment: moment[:2]):
            act(subject, time)

    def _moments(self):
        """(time, rank, what to do, with what). At one time completions come after invocations: no edge then."""
        for write in self.writes:
            yield write.invoke, 1, self._invoked, write
            if write.is_ok:
                yield write.complete, 2, self._written, write
        for read in self.reads:
            yield read.invoke, 1, self._read_begins, read
            yield read.complete, 2, self._read_ends, read
        for event in self.history.events:
            if event["event"] in ("wipe", "backup", "restore"):
                yield event["time"], 0, self._disk, event

    def follows(self, later, earlier):
        """Whether `later` had seen `earlier`, directly or not."""
        return self.before.get(later.id, 0) & self.bit[earlier.id] != 0

    def is_excused(self, write):
        return self.excused & self.bit[write.id] != 0

    def _invoked(self, write, _time):
        before = 0
        # A conditional write without an answer may have been decided anywhere.
        if write.is_ok or not write.is_conditional:
            before = self._known.get(write.at, 0)
        if self.sessions:
            before |= self._session.get(write.process, 0)
        expected = self.history.by_value.get(write.expects)
        if write.may_have_happened and expected is not None and expected.id in self.before:
            before |= self._with_all_before(expected)
        self.before[write.id] = before

    def _written(self, write, _time):
        if write.at != UNKNOWN:
            self._know(write.at, write)
        self._remember(write.process, write)
        if write.confirms("1") or write.confirms("majority"):
            self._outer |= self.bit[write.id]

    def _read_begins(self, read, _time):
        self.known_at_read[read.id] = self._known.get(read.node, 0)

    def _read_ends(self, read, _time):
        write = self.history.by_value.get(value_of(read.seen))
        if write is not None and write.id in self.before:
            self._know(read.node, write)
            self._remember(read.process, write)
            self.excused &= ~self.bit[write.id]

    def _know(self, node, write):
        self._known[node] = self._known.get(node, 0) | self._with_all_before(write)
        self._held[node] = self._held.get(node, 0) | self.bit[write.id]

    def _remember(self, process, write):
        self._session[process] = self._session.get(process, 0) | self._with_all_before(write)

    def _with_all_before(self, write):
        return self.before[write.id] | self.bit[write.id]

    def _disk(self, event, _time):
        node = event["node"]
        if event["event"] == "backup":
            self._backups[event["backup"]] = (self._known.get(node, 0), self._held.get(node, 0))
            return
        known, held = (0, 0)
        if event["event"] == "restore":
            known, held = self._backups[event["backup"]]
        gone = self._held.get(node, 0) & ~held
        elsewhere = 0
        for other, mask in self._held.items():
            if other != node:
                elsewhere |= mask
        self._wiped.add(node)
        # Another node, nobody knows which, holds what was confirmed by a number; it may be the one that was wiped before.
        if len(self._wiped) == 1:
            elsewhere |= self._outer
        self.excused |= gone & ~elsewhere
        self._known[node], self._held[node] = known, held
