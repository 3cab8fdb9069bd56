from parley_browser.clean_text import extract_main_text, tidy

PARAGRAPH = "The lighthouse was built in 1811 and guided ships past the reef for a century and a half. " * 4


def test_the_article_is_kept_and_the_menu_is_not() -> None:
    html = (
        "<html><body><nav><ul><li><a href='/'>Home</a></li><li><a href='/x'>Subscribe now</a></li></ul></nav>"
        f"<article><h1>Lighthouse</h1><p>{PARAGRAPH}</p><p>{PARAGRAPH}</p></article>"
        "<footer>All rights reserved</footer></body></html>"
    )
    text = extract_main_text(html, "inner text")
    assert "built in 1811" in text
    assert "Subscribe now" not in text


def test_a_page_with_little_text_is_read_as_its_inner_text() -> None:
    assert extract_main_text("<html><body><p>42</p></body></html>", "42") == "42"


def test_hostile_nesting_falls_back_to_the_inner_text() -> None:
    html = "<html><body>" + "<div><table>" * 20_000 + "</body></html>"
    assert extract_main_text(html, "inner text") == "inner text"


def test_tidy_text_can_be_encoded_and_keeps_what_is_written() -> None:
    clean = tidy("  a\x00b\ud83d \U0001f600\r\n\r\n \n\r\nc\td  ")
    assert clean == "ab\ufffd \U0001f600\n\nc\td"
    clean.encode("utf-8")
