"""What tests of the chat page share: asking, and something to cite."""

from parley_contracts.citations import Citation, DocumentRef
from playwright.async_api import Page


def cite(n: int, name: str = "manual.pdf", *, page: int | None = 3, url: str | None = None) -> Citation:
    document = DocumentRef(id=f"doc-{n}", name=name, collection="c")
    return Citation(
        n=n, text="The pen is passed.", score=1, document=document, page=page, start=7, end=25, url=url
    )


async def ask(page: Page, question: str) -> None:
    await page.get_by_test_id("composer").fill(question)
    await page.get_by_test_id("composer").press("Enter")
