"""The chat page's Markdown renderer in a real Chromium: what it makes of text, at once and while it grows."""

from collections.abc import AsyncGenerator

import pytest
import pytest_asyncio
from playwright.async_api import Page

from tests.fakes.gateway_page_server import StandInState, serve_page
from tests.fakes.page_browser import open_browser

pytestmark = [pytest.mark.chromium, pytest.mark.asyncio(loop_scope="module")]

RENDER = """async ([text, lengths]) => {
  const { StreamedMarkdown } = await import("/page/streamed_markdown.js");
  const container = document.createElement("div");
  const markdown = new StreamedMarkdown(container);
  const citation = (n) => (n < 4 ? document.createElement("sup") : null);
  const options = { citation, citationsKey: "1,2,3" };
  const shapes = [];
  for (const length of lengths) {
    markdown.update(text.slice(0, length), { ...options, isStreaming: true });
    shapes.push([...container.children].map((node) => node.nodeName).join(" "));
  }
  const begun = performance.now();
  markdown.update(text, { ...options, isStreaming: false });
  return { html: container.innerHTML, shapes, took_ms: performance.now() - begun };
}"""

MIXED = """The **bold *and* slanted** `code [1]` see [2], [1, 3] and [9].

## Heading

1. one
2. two
   - inner `x`

   more of two
3. three

```python
def f(x):  # [1] **not bold** | no | table |
    return "- not a list"
```

| a | b |
|---|--:|
| `x|y` | 2 |

> quoted
> - item

[link](https://example.com/a_(b)) and https://example.com/c_d_e.
"""


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def page() -> AsyncGenerator[Page]:
    async with serve_page(StandInState()) as address, open_browser() as browser:
        page = await browser.new_page()
        await page.goto(address)
        yield page
        await page.context.close()


@pytest.mark.parametrize(
    ("text", "html"),
    [
        ("**a** *b* ~~c~~ `*d*`", "<p><strong>a</strong> <em>b</em> <del>c</del> <code>*d*</code></p>"),
        ("snake_case_name, 2 * 3 * 4, \\*x\\*", "<p>snake_case_name, 2 * 3 * 4, *x*</p>"),
        ("# One\ntext\nmore", "<h2>One</h2><p>text<br>more</p>"),
        ("- a\n  - b\n- c", "<ul><li>a<ul><li>b</li></ul></li><li>c</li></ul>"),
        ("3. x\n4. y", '<ol start="3"><li>x</li><li>y</li></ol>'),
        ("> q\n\np", "<blockquote><p>q</p></blockquote><p>p</p>"),
        ("a [1].", '<p>a <span class="cites"><sup></sup>.</span></p>'),
        ("[9] [x] [1 ", "<p>[9] [x] [1</p>"),
        ("o \u30101\u2020L2\u3011.", '<p>o <span class="cites"><sup></sup>.</span></p>'),
        ("b [1-3].", '<p>b <span class="cites"><sup></sup><sup></sup><sup></sup>.</span></p>'),
        ("[2-1] [1-9] [0-9]", "<p>[2-1] [1-9] [0-9]</p>"),
        ("<b>x</b> &amp;", "<p>&lt;b&gt;x&lt;/b&gt; &amp;amp;</p>"),
        ("[a](javascript:alert(1)) [b](data:x,y)", "<p>a b</p>"),
        (
            "[a](https://b.c/d)",
            '<p><a href="https://b.c/d" target="_blank" rel="noopener noreferrer nofollow">a</a></p>',
        ),
    ],
)
async def test_text_becomes_the_expected_nodes(page: Page, text: str, html: str) -> None:
    assert (await page.evaluate(RENDER, [text, []]))["html"] == html


@pytest.mark.parametrize("step", [1, 7])
async def test_text_that_grew_looks_like_text_that_came_at_once(page: Page, step: int) -> None:
    grown = await page.evaluate(RENDER, [MIXED, list(range(1, len(MIXED), step))])
    at_once = await page.evaluate(RENDER, [MIXED, []])
    assert grown["html"] == at_once["html"]


async def test_no_block_changes_its_kind_while_text_grows(page: Page) -> None:
    shapes = (await page.evaluate(RENDER, [MIXED, list(range(1, len(MIXED)))]))["shapes"]
    assert shapes[-1] == "P H3 OL DIV DIV BLOCKQUOTE P"
    assert all(shapes[-1].startswith(shape) for shape in shapes)


@pytest.mark.parametrize(
    "text",
    [
        "*a " * 30_000,
        "[" * 90_000,
        "`a ``b " * 13_000,
        "**_" * 30_000,
        "|" * 90_000,
        "# " + " " * 90_000 + "x",
    ],
    ids=["stars", "brackets", "ticks", "nested", "pipes", "spaces"],
)
async def test_hostile_text_of_90_kb_does_not_hang_the_page(page: Page, text: str) -> None:
    assert (await page.evaluate(RENDER, [text, []]))["took_ms"] < 3_000
