"""What operators see of the turns in a gateway process."""

from parley_messaging import Service

from parley_gateway.connections import Connections
from parley_gateway.turn_parts import TurnParts


def export(service: Service, turns: TurnParts) -> None:
    """Export writers, watches and stops; they are read whenever the metrics are."""
    service.watch_writers(turns.writers)
    measures = service.measures
    measures.gauge(
        "parley_turn_watches",
        "Watches of turns: one for each viewer and one for each turn that is run here.",
        lambda: turns.watches.open_watches,
    )
    measures.counter(
        "parley_turn_watch_gaps", "Holes found in a turn's events and replayed.", lambda: turns.watches.gaps
    )
    measures.gauge(
        "parley_turns_in_flight",
        "Turns in flight whose readers are at this process.",
        lambda: turns.admission.turns_watched,
    )
    measures.counter(
        "parley_turns_refused",
        "Turns refused as overloaded, by the limit that was reached.",
        lambda: turns.admission.refused,
        label="limit",
    )
    measures.gauge(
        "parley_turn_queue_waiting",
        "Jobs of turns that nobody has taken, as they were last read; none while no turn is in flight.",
        lambda: {queue.consumer: state.waiting for queue, state in turns.lag.states.items()},
        label="queue",
    )
    measures.gauge(
        "parley_turn_queue_running",
        "Jobs of turns that are worked on, likewise.",
        lambda: {queue.consumer: state.running for queue, state in turns.lag.states.items()},
        label="queue",
    )
    measures.counter(
        "parley_turns_by_support",
        "Completed turns by what their answers rest on.",
        lambda: turns.counts.turns_by_support,
        label="support",
    )
    measures.counter(
        "parley_passages_given",
        "Passages of documents given to models whose answers were completed.",
        lambda: turns.counts.given,
    )
    measures.counter(
        "parley_passages_cited", "Passages of these that the answers cite.", lambda: turns.counts.cited
    )
    measures.gauge(
        "parley_turn_stops_open", "Stopped turns whose end is waited for.", lambda: turns.stopper.seen_to
    )
    measures.counter(
        "parley_turn_stops_sealed",
        "Stopped turns that nobody ended in time, so that the edge did.",
        lambda: turns.stopper.sealed,
    )


def export_connections(service: Service, connections: Connections) -> None:
    """Export how many clients are connected, and how many were turned away."""
    service.measures.gauge("parley_connections_open", "Connections of clients.", lambda: len(connections))
    service.measures.counter(
        "parley_connections_refused",
        "Connections refused because there were too many, in all or of one host.",
        lambda: connections.refused,
        label="limit",
    )
