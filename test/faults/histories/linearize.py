"""Whether the conditional writes of a key can be put into one order (Wing and Gong, 1993; memo as Lowe, 2017).

The key is a register that holds a value or nothing. A write that was answered took effect once between its
invocation and its answer; one that was not answered, at any time after its invocation or never. A write that
was refused by 412 saw another value than it expected.
"""

from history import NEVER

ABSENT = None
MOST_STATES = 400_000


class Step:
    """One operation of the register: `needs` is the value it needs, `gives` the one it leaves."""

    def __init__(self, operation, needs, gives, refused, required):
        self.operation = operation
        self.needs = needs
        self.gives = gives
        self.refused = refused
        self.required = required
        self.invoke = operation.invoke
        self.complete = operation.complete if required else NEVER

    def fits(self, state):
        return state != self.needs if self.refused else state == self.needs


class Verdict:
    """`is_linearizable` is None when there were too many orders to try."""

    def __init__(self, is_linearizable, state=None, stuck=()):
        self.is_linearizable = is_linearizable
        self.state = state
        self.stuck = stuck


def steps_of(writes, is_certain, restamped):
    """The register's steps. `is_certain` tells of an answered write whether it has to be there in the end."""
    steps = []
    for write in writes:
        needs = write.expects if write.if_match is not None else ABSENT
        gives = ABSENT if write.op == "delete" else write.value
        if write.outcome == "fail":
            # A value that came to have another tag is refused although it is the same value.
            if write.status == 412 and needs not in restamped:
                steps.append(Step(write, needs, needs, True, True))
        else:
            steps.append(Step(write, needs, gives, False, write.is_ok and is_certain(write)))
    return sorted(steps, key=lambda step: step.invoke)


def check_register(steps, final):
    """Searches for an order that ends in `final`. Depth first; a state that failed once is not tried again."""
    required = 0
    for index, step in enumerate(steps):
        if step.required:
            required |= 1 << index
    tried = set()
    best = (-1, ABSENT, [])
    stack = [(0, ABSENT)]
    while stack:
        done, state = stack.pop()
        done = take_refusals(steps, done, state)
        if (done, state) in tried:
            continue
        tried.add((done, state))
        if len(tried) > MOST_STATES:
            return Verdict(None)
        if done & required == required and state == final:
            return Verdict(True)
        open_steps = candidates(steps, done)
        placed = (done & required).bit_count()
        if placed > best[0]:
            left = [steps[i].operation for i in open_steps if steps[i].required]
            best = (placed, state, left)
        # Those that were answered are tried first: the last pushed is the first popped.
        for index in sorted(open_steps, key=lambda i: steps[i].required):
            if not steps[index].refused and steps[index].fits(state):
                stack.append((done | 1 << index, steps[index].gives))
    return Verdict(False, best[1], best[2])


def candidates(steps, done):
    """Steps that may come next: invoked before every required step that is left has been answered."""
    found = []
    earliest = NEVER
    for index, step in enumerate(steps):
        if done >> index & 1:
            continue
        if step.invoke > earliest:
            break
        earliest = min(earliest, step.complete)
        found.append(index)
    return [index for index in found if steps[index].invoke <= earliest]


def take_refusals(steps, done, state):
    """Refusals that fit now change nothing, so they are placed at once."""
    while True:
        fitting = [i for i in candidates(steps, done) if steps[i].refused and steps[i].fits(state)]
        if not fitting:
            return done
        for index in fitting:
            done |= 1 << index
