"""What every kind of fault has: where it is possible, what it touches, how it is done and undone."""
from ..processes import wait_until

LEASE = 2.0  # seconds, as node.json5 has it where it says nothing else


class Kind:
    """One fault. Made for a window, injected, healed; `about` says what was hit, for the history."""

    name = ""
    # No two faults of a window touch the same: one would undo the other.
    touches = ()
    # Seconds that it lasts, from and to.
    lasts = (1.0, 3.0)
    # Promotions that it may cause at most while it lasts and is healed.
    promotions = 2
    # Frames between nodes get lost: who asks whether the address still answers may hear nothing of one that does.
    hides = False
    # A node may be left with the address, and nobody on it to take it off.
    orphans = False
    # What the run has to have seen at least once and this kind is likely to show.
    shows = ()

    def __init__(self, ground, random):
        self.ground, self.world, self.random = ground, ground.world, random
        self.network, self.database = ground.world.network, ground.world.database
        self.about = ""

    @classmethod
    def is_possible(cls, ground):
        return True

    def inject(self):
        raise NotImplementedError

    def heal(self):
        """May be called though the fault ended by itself."""

    def active(self):
        """The node that leads, or any while none says so."""
        try:
            return wait_until(self.world.active, 0.7, "a leader", every=0.1)[0]
        except TimeoutError:
            return self.any_node()

    def any_node(self):
        return self.world.nodes[self.random.choice(sorted(self.world.nodes))]

    def mostly_active(self):
        """Mostly the one that matters."""
        return self.active() if self.random.random() < 0.75 else self.any_node()

    def other_than(self, node):
        return self.random.choice([other for _, other in sorted(self.world.nodes.items()) if other is not node])
