"""All checks of one key: see check.py for what is found."""

import json

from causal import KeySweep
from history import value_of
from linearize import check_register, steps_of

MOST_CONFLICTS = 1000
KINDS = ("lost", "undone", "wentBack", "notConverged", "notLinearizable", "unexplained")
MOST_EVIDENCE = 12


class Findings:
    """What was found, by kind, with evidence."""

    def __init__(self):
        self.evidence = []
        self.counts = dict.fromkeys(KINDS, 0)

    def add(self, kind, key, text, operations=()):
        self.counts[kind] += 1
        lines = [operation.text() for operation in operations]
        if len(lines) > MOST_EVIDENCE:
            lines = lines[:MOST_EVIDENCE] + [f"and {len(lines) - MOST_EVIDENCE} more"]
        self.evidence.append({"kind": kind, "key": key, "text": text, "lines": lines})


class KeyCheck:
    """All checks of one key."""

    def __init__(self, history, key, findings, figures, sessions=False, strict=False):
        self.history = history
        self.strict = strict
        self.key = key
        self.findings = findings
        self.figures = figures
        self.sweep = KeySweep(history, key, sessions)
        self.finals = {final["node"]: final["keys"].get(key) for final in history.finals}

    def run(self):
        self.check_documents()
        for read in self.sweep.reads:
            self.check_read(read)
        if self.check_equal() and self.finals:
            final = value_of(next(iter(self.finals.values())))
            before = sum(self.findings.counts.values())
            self.check_final(final)
            self.check_conditional(final)
            # Of a final value that is wrong itself it says nothing which others lost against it.
            if sum(self.findings.counts.values()) == before:
                self.check_losers(final)

    def check_equal(self):
        texts = {}
        for node, document in self.finals.items():
            texts.setdefault(json.dumps(document, sort_keys=True), []).append(node)
        if len(texts) <= 1:
            return True
        shown = "; ".join(f"{', '.join(nodes)}: {text}" for text, nodes in sorted(texts.items()))
        self.findings.add("notConverged", self.key, f"nodes differ: {shown}", self.last_writes())
        return False

    def last_writes(self):
        return sorted(self.sweep.writes, key=lambda write: write.invoke)[-6:]

    def judged(self, write):
        """Whether the cluster owes this write: acknowledged, and not on lost disks only."""
        return write.is_ok and not self.sweep.is_excused(write)

    def followers(self, write, among=None):
        """Writes that the cluster owes and that had seen this one."""
        return [
            other
            for other in self.sweep.writes
            if self.judged(other)
            and self.sweep.follows(other, write)
            and (among is None or among & self.sweep.bit[other.id])
        ]

    def check_final(self, final):
        if final is None:
            self.check_absent(None, "is absent in the end", "undone")
            return
        write = self.history.by_value.get(final)
        if write is None or write.key != self.key or not write.may_have_happened:
            self.findings.add("unexplained", self.key, f"{final} in the end", [write] if write else [])
            return
        later = self.followers(write)
        if later:
            deletes = [other for other in later if other.op == "delete"]
            what = "a deleted value came back" if deletes else "an earlier value replaced a later one"
            self.findings.add("undone", self.key, f"{what}: {final}", list(dict.fromkeys([write, *deletes, *later])))

    def check_absent(self, among, text, kind, until=None):
        """Absence is explained by a delete that nothing acknowledged follows; `among`: as far as a node knew."""

        def counts(write):
            return among is None or among & self.sweep.bit[write.id]

        sets = [w for w in self.sweep.writes if w.op != "delete" and self.judged(w) and counts(w)]
        deletes = [
            w
            for w in self.sweep.writes
            if w.op == "delete" and w.may_have_happened and (until is None or w.invoke < until)
        ]
        if not sets or any(not self.followers(delete, among) for delete in deletes):
            return
        if deletes:
            self.findings.add(kind, self.key, f"{text}, by deletes that were overwritten", deletes + sets)
        else:
            self.findings.add("lost", self.key, f"{text}, and nobody deleted it", sets)

    def check_read(self, read):
        known = self.sweep.known_at_read[read.id]
        seen = value_of(read.seen)
        if seen is None:
            text = f"was absent at {read.node} after it was there"
            self.check_absent(known, f"{text}, {read.text()}", "wentBack", read.complete)
            return
        write = self.history.by_value.get(seen)
        if (
            write is None
            or write.key != self.key
            or not write.may_have_happened
            or write.invoke > read.complete
        ):
            self.findings.add("unexplained", self.key, f"{seen} was read", [read])
            return
        later = self.followers(write, known)
        if later:
            text = f"{read.node} showed {seen} again after it had replaced it"
            self.findings.add("wentBack", self.key, text, [write, *later, read])

    def check_documents(self):
        """A patch tells what it was made on: the field `set` of its result names the latest set under it."""
        documents = {}
        seen = [read.seen for read in self.sweep.reads] + list(self.finals.values())
        for document in seen:
            if isinstance(document, dict):
                documents.setdefault(value_of(document), {})[json.dumps(document, sort_keys=True)] = document
        for value, forms in documents.items():
            if len(forms) > 1:
                text = f"two documents of one write: {'; '.join(sorted(forms))}"
                self.findings.add("unexplained", self.key, text)
            for document in forms.values():
                self.check_base(self.history.by_value.get(value), document)

    def check_base(self, write, document):
        if write is None or write.op != "patch" or write.key != self.key:
            return
        base = self.history.by_value.get(document.get("set"))
        if base is None or base.key != self.key or not base.may_have_happened:
            text = f"a patch on {document.get('set')}, which nobody wrote"
            self.findings.add("unexplained", self.key, text, [write])
            return
        before = self.sweep.before[write.id]
        later = [other for other in self.followers(base, before) if other.op != "patch"]
        if later and not self.carriers(write, later):
            text = f"{write.value} was made on {base.value}, which its node had replaced"
            self.findings.add("wentBack", self.key, text, [base, *later, write])

    def carriers(self, write, later):
        """Patches that knew of none of `later`: one of them may have won, and brought an earlier base here."""
        return [
            other
            for other in self.sweep.writes
            if other.op == "patch"
            and other is not write
            and other.may_have_happened
            and other.invoke < write.complete
            and not any(self.sweep.follows(other, one) for one in later)
        ]

    def losers(self, final):
        """Acknowledged writes that are not the final value and that nothing later had seen."""
        for write in self.sweep.writes:
            is_result = write.op == "delete" if final is None else write.value == final
            if not self.judged(write) or is_result:
                continue
            others = (o for o in self.sweep.writes if o.may_have_happened)
            if not any(self.sweep.follows(other, write) for other in others):
                yield write

    def check_losers(self, final):
        for write in self.losers(final):
            if self.is_in_conflict_log(write):
                self.figures["inConflictLog"] += 1
            elif any(answer.get("overriddenBy") for answer in self.history.fates.get(write.id, [])):
                self.figures["overridden"] += 1
            elif self.is_log_full():
                self.figures["notJudgedLogFull"] += 1
            elif self.had_wrong_clocks() and not self.strict:
                self.figures["unreportedWrongClock"] += 1
            else:
                winner = self.history.by_value.get(final)
                text = f"{write.value or 'a delete'} lost unseen and is in no conflict log; the value is {final}"
                self.findings.add("lost", self.key, text, [write] + ([winner] if winner else []))

    def is_in_conflict_log(self, write):
        for log in self.history.conflicts:
            for entry in log["entries"]:
                if entry["key"] != self.key:
                    continue
                if write.op == "delete":
                    if entry["data"] is None and entry["writeId"] == write.write_id:
                        return True
                elif value_of(entry["data"]) == write.value:
                    return True
        return False

    def had_wrong_clocks(self):
        """What a node with a wrong clock wrote may lose unseen and unreported: docs/writes.md."""
        return any(event["event"] == "clock" for event in self.history.events)

    def is_log_full(self):
        scope = self.key.rsplit("/", 1)[0] + "/"
        counts = [
            sum(entry["key"].startswith(scope) for entry in log["entries"])
            for log in self.history.conflicts
        ]
        return max(counts, default=0) >= MOST_CONFLICTS

    def register(self):
        """The steps of a key that is written on conditions only; None for any other key."""
        writes = self.sweep.writes
        if not writes or not all(write.is_conditional for write in writes):
            return None
        wanted = self.history.header.get("conditionalAck", "local")

        def is_certain(write):
            return self.judged(write) and write.confirms(wanted)

        return steps_of(writes, is_certain, self.restamped())

    def check_conditional(self, final):
        steps = self.register()
        if steps is None:
            return
        verdict = check_register(steps, final)
        self.figures["registers"] += 1
        if verdict.is_linearizable is None:
            self.figures["registersUndecided"] += 1
        elif not verdict.is_linearizable:
            stuck = f"when it is {verdict.state}, and is {final} in the end"
            by_value = self.history.by_value
            near = [by_value[value] for value in (verdict.state, final) if value in by_value]
            writes = [w for w in self.sweep.writes if w.is_ok]
            rivals = [w for w in writes if any(w.expects == n.expects for n in near)]
            shown = dict.fromkeys([*verdict.stuck, *near, *rivals])
            self.findings.add("notLinearizable", self.key, f"no order of all: {stuck}", list(shown))

    def restamped(self):
        """Values that were seen under more than one tag."""
        tags = {}
        for operation in self.sweep.writes + self.sweep.reads:
            value = value_of(operation.seen) if operation.op == "read" else operation.value
            if operation.is_ok and value is not None and operation.etag is not None:
                tags.setdefault(value, set()).add(operation.etag)
        return {value for value, seen in tags.items() if len(seen) > 1}
