"""What people come to the page of one job for, with JavaScript and without."""

from __future__ import annotations

from typing import Any

from playwright.sync_api import Browser, expect

from engine import jobs, queues
from engine.jobs import Claim, Ending
from engine.output import Output
from models import Job
from tests.browser.tab import Tab
from tests.browser.test_accessibility import problems

RED = b"\x1b[31mred\x1b[0m"


def whole(data: bytes) -> Output:
    return Output(data, len(data))


def ran(site, job_id: str, stdout: bytes = b"", stderr: bytes = b"", code: int = 1, **fields: Any) -> Claim:
    """A job that has run (again), as if a worker had: completed with code 0, else failed."""
    if not Job.select().where(Job.id == job_id).exists():
        site.add(fields.pop("command", "make"), id=job_id, **fields)
    Job.update(next_run_at=0).where(Job.id == job_id).execute()
    held = jobs.claim("w0", "here")
    assert held is not None
    ending = Ending(return_code=code, duration_ms=1200, error=f"exit code {code}" if code else None)
    (jobs.fail if code else jobs.complete)(held, ending._replace(stdout=whole(stdout), stderr=whole(stderr)))
    return held


def polled(tab: Tab, part: str) -> int:
    """How many addresses with this in them were asked for."""
    return sum(part in request for request in tab.requests)


def count_to(number: int) -> bytes:
    return b"".join(b"line %d\n" % line for line in range(1, number + 1))


def test_why_a_job_waits_is_said_with_the_buttons_that_help(site, tab):
    site.add("echo hi", id="later", run_at="+1d")
    tab.open("/jobs/later")
    tab.see("It is not to run before")
    tab.see("No worker is running; it runs when one is started.")
    tab.press("Start a worker")
    tab.see("1 worker will start: w1.")
    tab.open("/jobs/later")
    tab.press("Run now job later")
    tab.see("Job later is due now.")
    tab.see("Completed in")


def test_a_paused_queue_is_resumed_where_it_keeps_a_job(site, tab):
    queues.pause("mail", actor="test")
    site.add("echo hi", id="one", queue="mail")
    tab.open("/jobs/one")
    tab.see("The queue mail is paused.")
    tab.press("Resume the queue")
    tab.see("The queue mail is resumed.")
    assert not queues.standing("mail").paused


def test_a_retry_and_a_deletion_are_undone(site, tab):
    ran(site, "one", max_retries=0)
    tab.open("/jobs/one")
    tab.press("Retry job one")
    tab.see("Job one is pending again.")
    tab.press("Undo")
    tab.see("Job one is as it was before the retry.")
    assert Job.get(Job.id == "one").state == "dead"
    tab.open("/jobs/one")
    tab.press("Delete job one")
    tab.see("it can be brought back")
    tab.press("Delete job")
    tab.see("Job one is deleted.")
    tab.press("Undo")
    tab.see("Job one is back.")
    assert Job.get(Job.id == "one").state == "dead"


def test_the_end_of_every_attempt_is_explained(site, tab):
    ran(site, "one", code=137, max_retries=5)
    ran(site, "one", code=127)
    tab.open("/jobs/one")
    tab.see("killed by SIGKILL, often because memory ran out")
    tab.see("command not found")
    tab.follow(tab.page.locator("#job").get_by_role("link", name="Show run 1"))
    tab.see("Output of run 1")


def test_output_has_its_colours_and_a_number_for_each_line(site, tab):
    ran(site, "one", RED + b" and <b>plain</b>\n" + count_to(3))
    tab.open("/jobs/one")
    red = tab.page.locator("#stdout i").first
    expect(red).to_have_css("color", "rgb(238, 85, 85)")
    expect(tab.page.locator("#stdout-L1")).to_have_text("red and <b>plain</b>")
    expect(tab.page.locator("#stdout-L4")).to_have_text("line 3")


def test_a_line_of_a_long_log_can_be_gone_to_and_linked(site, tab):
    ran(site, "one", count_to(5000))
    tab.open("/jobs/one")
    expect(tab.page.locator("#stdout-L1234")).to_have_count(0)
    tab.page.get_by_label("Line", exact=True).first.fill("1234")
    tab.follow(tab.page.get_by_role("button", name="Go").first)
    line = tab.page.locator("#stdout-L1234:target")
    expect(line).to_be_in_viewport()
    expect(line).to_have_text("line 1234")
    tab.open(tab.page.url.removeprefix(site.url))
    expect(line).to_be_in_viewport()


def test_a_link_to_a_line_that_is_not_on_the_page_finds_it(site, live_tab):
    ran(site, "one", count_to(5000))
    live_tab.open("/jobs/one#stdout-L1234")
    expect(live_tab.page.locator("#stdout-L1234:target")).to_be_in_viewport()
    live_tab.page.locator("#stdout-L1240 > a").click()
    expect(live_tab.page.locator("#stdout-L1240:target")).to_be_visible()
    assert "run=1" in live_tab.page.url
    assert live_tab.page.url.endswith("#stdout-L1240")


def test_of_a_long_log_the_earlier_parts_are_shown_on_demand(site, tab):
    ran(site, "one", count_to(2500))
    tab.open("/jobs/one")
    expect(tab.page.locator("#stdout-L1501")).to_have_count(1)
    expect(tab.page.locator("#stdout-L1500")).to_have_count(0)
    tab.press("Show earlier output")
    expect(tab.page.locator("#stdout-L1500")).to_have_count(1)
    tab.press("Show earlier output")
    expect(tab.page.locator("#stdout-L1")).to_have_count(1)
    expect(tab.page.get_by_role("link", name="Show earlier output")).to_have_count(0)


def test_lines_are_wrapped_or_not(site, tab):
    ran(site, "one", b"x" * 1000 + b"\n")
    tab.open("/jobs/one")
    wide = "document.querySelector('#stdout').scrollWidth > document.querySelector('#stdout').clientWidth"
    tab.page.get_by_label("Wrap lines").uncheck()
    if tab.script:
        assert tab.page.evaluate(wide)
    expect(tab.page.locator("#stdout")).to_have_css("white-space-collapse", "preserve")
    expect(tab.page.locator("#stdout")).to_have_css("text-wrap-mode", "nowrap")
    tab.page.get_by_label("Wrap lines").check()
    expect(tab.page.locator("#stdout")).to_have_css("text-wrap-mode", "wrap")


def test_output_is_followed_and_held_and_a_progress_bar_is_one_line(site, live_tab):
    site.add("make", id="one")
    held = jobs.claim("w1", "here")
    jobs.show_output(held, whole(b"first\n10%\r20%"), whole(b""))
    live_tab.open("/jobs/one")
    rest = live_tab.page.locator("#stdout-rest")
    expect(rest).to_have_text("20%")
    jobs.show_output(held, whole(b"first\n10%\r20%\r50%"), whole(b""))
    expect(rest).to_have_text("50%")
    live_tab.page.get_by_label("Follow").uncheck()
    asked = polled(live_tab, "/tail")
    jobs.show_output(held, whole(b"first\n10%\r20%\r50%\r100%\nlast\n"), whole(b"oops\n"))
    polls = polled(live_tab, "v=")
    live_tab.until(lambda: polled(live_tab, "v=") > polls + 2)
    assert polled(live_tab, "/tail") <= asked + 1
    expect(rest).to_have_text("50%")
    live_tab.page.get_by_label("Follow").check()
    expect(live_tab.page.locator("#stdout-L2")).to_have_text("100%")
    expect(live_tab.page.locator("#stdout-L3")).to_have_text("last")
    expect(live_tab.page.locator("#stderr-L1")).to_have_text("oops")


def test_the_sizes_of_live_output_grow_with_it_and_its_end_is_shown(site, live_tab):
    site.add("make", id="one")
    held = jobs.claim("w1", "here")
    live_tab.open("/jobs/one")
    size, empty = live_tab.page.locator("#stdout-size"), live_tab.page.locator("#stderr-empty")
    expect(size).to_have_text("0 bytes")
    expect(empty).to_have_attribute("data-empty", "No output yet.")
    jobs.show_output(held, whole(b"first\n"), whole(b""))
    expect(size).to_have_text("6 bytes")
    jobs.show_output(held, whole(b"first\nsecond\n"), whole(b""))
    expect(size).to_have_text("13 bytes")
    jobs.complete(held, Ending(return_code=0, stdout=whole(b"first\nsecond\nlast\n")))
    expect(size).to_have_text("18 bytes")
    expect(empty).to_have_attribute("data-empty", "No output.")
    expect(live_tab.page.get_by_label("Follow")).to_have_count(0)


def test_a_page_that_follows_for_long_does_not_grow(site, live_tab):
    site.add("make", id="one")
    held = jobs.claim("w1", "here")
    for lines in range(1000, 5000, 1000):
        jobs.show_output(held, whole(count_to(lines)), whole(b""))
        if lines == 1000:
            live_tab.open("/jobs/one")
        expect(live_tab.page.locator(f"#stdout-L{lines}")).to_have_count(1, timeout=20_000)
    expect(live_tab.page.locator("#stdout .row > a")).to_have_count(3000)
    live_tab.press("Show earlier output")
    expect(live_tab.page.locator("#stdout-L1001:target")).to_be_in_viewport()


def test_what_changed_since_the_run_before_and_since_the_last_success(site, tab):
    ran(site, "good", count_to(5), code=0)
    ran(site, "one", count_to(3), max_retries=5)
    ran(site, "one", count_to(2) + b"broken\n", b"trouble\n")
    tab.open("/jobs/one")
    tab.press("Since the run before")
    expect(tab.page.locator("[data-mark='-']")).to_have_text("\N{MINUS SIGN} line 3")
    expect(tab.page.locator("[data-mark='+']").first).to_have_text("+ broken")
    tab.press("Since the last success")
    tab.see("run 1 of job good")
    expect(tab.page.locator("[data-mark='-']")).to_have_text(
        ["\N{MINUS SIGN} line 3", "\N{MINUS SIGN} line 4", "\N{MINUS SIGN} line 5"]
    )


def test_a_job_is_edited_and_retried(site, tab):
    ran(site, "one", max_retries=0, queue="mail", command="false; # 'quoted'")
    tab.open("/jobs/one")
    tab.press("Edit and retry")
    command = tab.page.get_by_label("Command")
    expect(command).to_have_value("false; # 'quoted'")
    command.fill("true")
    tab.press("Enqueue job")
    tab.see("is enqueued.")
    newest = Job.select().order_by(Job.pk.desc()).first()
    assert (newest.command, newest.queue, newest.origin) == ("true", "mail", "one")
    tab.follow(tab.page.locator("dd").get_by_role("link", name="one", exact=True))
    tab.see(tab.page.get_by_role("heading", name="one", exact=True))


def test_beside_each_button_stands_the_line_for_a_shell(site, browser: Browser):
    site.add("echo 'it is'", id="one")
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"])
    tab = Tab(site, context)
    tab.open("/jobs/one")
    expect(tab.page.locator("#line-cancel")).to_have_text("queuectl cancel one")
    tab.page.locator("[data-copy=line-again]").click()
    expect(tab.page.locator("[data-copy=line-again][data-copied]")).to_be_visible()
    assert tab.page.evaluate("navigator.clipboard.readText()") == "queuectl enqueue --from one"
    tab.page.get_by_role("button", name="Copy the command", exact=True).click()
    tab.page.wait_for_function("navigator.clipboard.readText().then(text => text === \"echo 'it is'\")")
    assert tab.troubles == []
    context.close()


def test_without_a_script_nothing_pretends_to_copy_or_follow(site, browser: Browser):
    site.add("echo hi", id="one")
    jobs.claim("w1", "here")
    context = browser.new_context(java_script_enabled=False)
    tab = Tab(site, context)
    tab.open("/jobs/one")
    expect(tab.page.locator("#line-cancel")).to_be_visible()
    expect(tab.page.locator("[data-copy]").first).to_be_hidden()
    expect(tab.page.get_by_label("Follow")).to_be_hidden()
    tab.see("load the page again to see what it printed since")
    context.close()


HOSTILE = b"<script>window.ran = 1</script><img src=x onerror='window.ran = 1'>\n"


def test_hostile_output_is_shown_and_does_nothing(site, live_tab):
    bomb = b"\x1b[31m" * 100_000 + bytes(range(128, 256)) + b"x" * 100_000 + b"\n"
    ran(
        site,
        "one",
        HOSTILE + bomb + HOSTILE,
        b"\x1b]8;;javascript:window.ran=1\x07link\x1b]8;;\x07",
        command=HOSTILE.decode(),
    )
    for path in ("/jobs/one", "/jobs/one?stdout=0", "/jobs/one/diff?against=success"):
        live_tab.open(path)
    live_tab.open("/jobs/one")
    expect(live_tab.page.locator("#stdout-rows .row").last).to_be_visible()
    expect(live_tab.page.locator("#stdout")).to_contain_text("<script>window.ran = 1</script>")
    expect(live_tab.page.locator("#stderr")).to_contain_text("link")
    assert live_tab.page.locator("#output :is(script, img), #stderr-rows a[href^=javascript]").count() == 0
    assert live_tab.page.evaluate("window.ran") is None


def test_the_page_can_be_used_by_everybody(site, live_tab):
    colours = b"".join(b"\x1b[38;5;%dmcolour %d\x1b[0m \x1b[48;5;%dmground\x1b[0m\n" % (n, n, n) for n in range(256))
    ran(site, "good", count_to(30), code=0)
    ran(site, "one", colours, b"trouble\n", max_retries=9, env={"TOKEN": "x"}, command="make", tags=["nightly"])
    ran(site, "one", count_to(2000), b"more trouble\n")
    site.add("x" * 300, id="later", run_at="+1d")
    found = []
    for path in ("one", "one?run=1", "one/diff?run=2", "one/diff?run=2&against=success", "later", "good"):
        live_tab.open(f"/jobs/{path}")
        found += problems(live_tab, path)
    assert not found, "\n".join(found)
