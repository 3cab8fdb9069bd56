"""How rare a word is: what is counted is what is indexed, whatever became of it meanwhile."""

import math

import pytest
from parley_contracts import subjects
from parley_contracts.errors import ParleyError
from parley_contracts.npu import Embed, Embeddings
from parley_contracts.rag import CreateCollection, DeleteCollection, DeleteDocument, Language
from parley_rag.tables import TermRow
from parley_rag.word_statistics import read_statistics
from parley_rag.words import by_rarity, weights_of
from sqlalchemy import select

from tests.unit.rag.library import OTHER, OWNER, Library, recounted

FIRST = "\n\n".join(f"# Entry {n}\n\n" + f"The herd of {n} sheep crossed the river. " * 20 for n in range(40))
SECOND = FIRST.replace("sheep", "goats")


async def counted(library: Library, owner: str = OWNER) -> dict[int, int]:
    async with library.database.reading() as session:
        rows = await session.scalars(select(TermRow).where(TermRow.owner_id == owner))
        return {row.term: row.passages for row in rows if row.passages}


async def fail_after(library: Library, answers: int) -> None:
    left = answers

    async def embed(request: Embed) -> Embeddings:
        nonlocal left
        left -= 1
        if left < 0:
            raise RuntimeError("out of order")
        return await library.npu.embed(request)

    library.bus.answer(subjects.NPU_EMBED, Embed, embed)


async def test_what_is_indexed_is_counted_once_through_deaths_and_repeats(library: Library) -> None:
    created = await library.create(FIRST.encode(), "herd.md")
    job = await library.put(FIRST.encode(), created.document)
    await fail_after(library, 1)
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    half = await counted(library)
    assert 0 < half[-1] < 40
    assert half == await recounted(library)
    library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
    for _ in range(2):
        await library.parts.ingestion.run(job)
    assert await counted(library) == await recounted(library)


async def test_parts_of_a_table_are_counted_and_discounted_with_its_column_names(library: Library) -> None:
    rows = "\n".join(f"| ford {n} | {n * 7} sheep crossed the river |" for n in range(80))
    document = await library.upload(f"| place | herd |\n|---|---|\n{rows}\n".encode(), "herds.md")
    (column,) = weights_of("english").of_query("herd")
    assert (await counted(library))[column] == document.chunks > 1
    assert await counted(library) == await recounted(library)
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    assert await counted(library) == {}


async def test_what_replaces_a_document_is_counted_in_its_place(library: Library) -> None:
    await library.upload(FIRST.encode(), "herd.md")
    await library.upload(SECOND.encode(), "herd.md")
    sheep = weights_of("english").of_query("sheep")
    assert not sheep.keys() & (await counted(library)).keys()
    assert await counted(library) == await recounted(library)


async def test_a_document_whose_vectors_were_lost_is_counted_once(library: Library) -> None:
    created = await library.create(FIRST.encode(), "herd.md")
    job = await library.put(FIRST.encode(), created.document)
    await fail_after(library, 1)
    with pytest.raises(ParleyError):
        await library.parts.ingestion.run(job)
    library.bus.answer(subjects.NPU_EMBED, Embed, library.npu.embed)
    await library.index.remove_document(OWNER, created.document.id)
    await library.parts.ingestion.run(job)
    assert await counted(library) == await recounted(library)


async def test_what_is_removed_is_counted_no_longer(library: Library) -> None:
    await library.parts.handlers.create_collection(
        CreateCollection(owner_id=OWNER, name="herden", language=Language.GERMAN)
    )
    document = await library.upload(FIRST.encode(), "herd.md")
    await library.upload(SECOND.encode(), "goats.md")
    await library.upload(b"Die Herden der Ziegen zogen weiter.", "ziegen.md", collection="herden")
    await library.parts.handlers.delete_document(DeleteDocument(owner_id=OWNER, document_id=document.id))
    assert await counted(library) == await recounted(library)
    for name in ("default", "herden"):
        await library.parts.handlers.delete_collection(DeleteCollection(owner_id=OWNER, name=name))
    assert await counted(library) == {}


async def test_how_rare_a_word_is_counts_in_the_owners_passages_only(library: Library) -> None:
    await library.upload(FIRST.encode(), "herd.md")
    before = await counted(library)
    await library.upload(FIRST.encode(), "herd.md", owner=OTHER)
    assert await counted(library) == before


async def test_the_words_of_a_query_are_weighed_by_rarity_and_unknown_ones_left_out(library: Library) -> None:
    await library.upload(FIRST.encode(), "herd.md")
    asked = weights_of("english").of_query("sheep and penguins")
    async with library.database.reading() as session:
        containing, passages = await read_statistics(session, OWNER, asked)
    (term,) = weights_of("english").of_query("sheep")
    n = containing[term]
    assert by_rarity(asked, containing, passages) == (
        [term],
        [pytest.approx(math.log(1 + (passages - n + 0.5) / (n + 0.5)))],
    )


async def test_a_collection_keeps_its_language_and_its_words_are_stemmed_in_it(library: Library) -> None:
    create = CreateCollection(owner_id=OWNER, name="herden", language=Language.GERMAN)
    assert (await library.parts.handlers.create_collection(create)).language == "german"
    again = create.model_copy(update={"language": None})
    assert (await library.parts.handlers.create_collection(again)).language == "german"
    with pytest.raises(ParleyError, match="german"):
        await library.parts.handlers.create_collection(
            create.model_copy(update={"language": Language.FRENCH})
        )
    await library.upload("Die Häuser am Fluss.".encode(), "fluss.md", collection="herden")
    library.bus.answer(subjects.NPU_EMBED, Embed, broken)
    assert len(await library.search("Haus")) == 1


async def broken(_: Embed) -> Embeddings:
    raise RuntimeError("out of order")
