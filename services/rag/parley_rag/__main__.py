"""The rag service: documents in, passages out."""

from parley_identity import open_claims
from parley_messaging import Service, run_service

from parley_rag.assembly import assemble
from parley_rag.data_rights import bind_data_rights
from parley_rag.database import open_database
from parley_rag.handlers import bind
from parley_rag.index_places import open_place, place_of
from parley_rag.measures import Measures
from parley_rag.move import settle_index
from parley_rag.nursery import open_nursery
from parley_rag.quality import bind_quality
from parley_rag.settings import RagSettings
from parley_rag.tools import offer_tools


async def compose(service: Service, settings: RagSettings) -> None:
    """Open what is needed, answer requests and take jobs."""
    database = await service.enter(open_database(settings.database_url, settings.data_dir))
    index = await service.enter(open_place(place_of(settings), settings))
    service.check("database", database.check)
    service.check("vectors", index.check)
    nursery = await service.enter(open_nursery())
    parts = assemble(database, index, service.bus, settings, Measures(service.metrics), processes=nursery)
    await settle_index(index, settings, parts.jobs.index_all_again)
    service.spawn(parts.jobs.run)
    service.spawn(parts.removals.run)
    service.spawn(parts.sealing.run)
    await service.enter(parts.days.finishing())
    service.spawn(parts.days.run)
    bind(service, parts.handlers, parts.searching, parts.ingestion, slots=settings.rag_ingest_slots)
    bind_quality(service, parts.quality)
    bind_data_rights(service, parts.rights)
    await offer_tools(service, parts.tools)


def main() -> None:
    """Run until told to stop."""
    run_service("rag", RagSettings, compose, claims=open_claims)


if __name__ == "__main__":
    main()
