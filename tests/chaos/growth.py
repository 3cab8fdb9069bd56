"""What a stack holds more of than before, beyond what noise explains."""

from tests.chaos.footprint import Footprint

COLUMNS = ("descriptors", "sockets", "tasks", "subs", "open", "sqlite")
DESCRIPTORS_SLACK = 4
"""A pool may open one more connection, or a thread one more pipe, when the load happens to peak later."""
MAX_DATABASES = 46
"""A pool of 5 and 10 more at a peak, three descriptors each: SQLite closes some late, and uses them again."""
RSS_RATIO, RSS_SLACK_MIB = 1.10, 8.0
"""Allocators give back late: this much noise is no growth, for what leaks grows with every turn."""
NATS_SLACK_MIB = 24.0
"""nats-server collects what it no longer needs when its heap has doubled."""
NATS_BYTES_A_TURN = 16_384
"""nats-server keeps an index of the subjects and messages of its streams, which hold turns for a day."""

LEGEND = f"""start -> end: no process may hold more at the end, but for {DESCRIPTORS_SLACK} descriptors or
sockets. open: turns that are written, watched, run or stopped, 0 at rest. sqlite: descriptors of
databases, which a pool closes late, at most {MAX_DATABASES}. The bus may hold no more either, but
the events of turns. RSS may grow from the middle to the end by {RSS_RATIO - 1:.0%} and
{RSS_SLACK_MIB:g} MiB; that of nats by {NATS_SLACK_MIB:g} MiB and what it keeps of the turns."""


def growth(start: Footprint, end: Footprint) -> list[str]:
    """Return what is held at the end and was not at the start, beyond the slack."""
    found: list[str] = []
    for name, before in start.processes.items():
        after = end.processes[name]
        if after.descriptors > before.descriptors + DESCRIPTORS_SLACK:
            found.append(f"{name}: descriptors {before.descriptors} -> {after.descriptors}")
        if after.sockets > before.sockets + DESCRIPTORS_SLACK:
            found.append(f"{name}: sockets {before.sockets} -> {after.sockets}")
        if after.databases > MAX_DATABASES:
            found.append(f"{name}: descriptors of databases {before.databases} -> {after.databases}")
        found += [
            f"{name}: {what} {one} -> {other}"
            for what, one, other in (
                ("tasks", before.tasks, after.tasks),
                ("subscriptions", before.subscriptions, after.subscriptions),
                ("open", before.open, after.open),
            )
            if other > one
        ]
    if any(after > before for before, after in zip(start.bus.counts, end.bus.counts, strict=True)):
        found.append(f"bus: {start.bus} -> {end.bus}")
    return found


def memory_growth(middle: Footprint, end: Footprint, turns: int) -> list[str]:
    """Return whose memory has grown from the middle of the load to its end, beyond the slack."""
    found: list[str] = []
    for name, before in middle.processes.items():
        slack_mib = RSS_SLACK_MIB
        if name == "nats":
            slack_mib = NATS_SLACK_MIB + turns * NATS_BYTES_A_TURN / 2**20
        after = end.processes[name]
        if after.rss_mib > before.rss_mib * RSS_RATIO + slack_mib:
            found.append(f"{name}: {before.rss_mib:.1f} -> {after.rss_mib:.1f} MiB")
    return found


def table(start: Footprint, middle: Footprint, end: Footprint) -> str:
    """Return start, middle and end side by side."""
    head = f"{'process':<10} {'RSS MiB start':>14} {'middle':>8} {'end':>8} {'growth':>8}"
    lines = [head + "".join(f"{what:>16}" for what in COLUMNS)]
    for name, one in start.processes.items():
        two, three = middle.processes[name], end.processes[name]
        grown = three.rss_mib - one.rss_mib
        line = f"{name:<10} {one.rss_mib:14.1f} {two.rss_mib:8.1f} {three.rss_mib:8.1f} {grown:+8.1f}"
        pairs = [*zip(one.counts, three.counts, strict=True), (one.databases, three.databases)]
        lines.append(line + "".join(f"{f'{before} -> {after}':>16}" for before, after in pairs))
    a, b = start.bus, end.bus
    lines += [
        f"bus: connections {a.connections} -> {b.connections}, subscriptions {a.subscriptions} -> "
        f"{b.subscriptions}, consumers {a.consumers} -> {b.consumers}, streams {a.streams} -> {b.streams}",
        f"TURN_EVENTS, kept for a day: {a.turn_events} -> {b.turn_events} messages, "
        f"{a.turn_events_mib:.1f} -> {b.turn_events_mib:.1f} MiB",
        *LEGEND.splitlines(),
    ]
    return "\n".join(lines)
