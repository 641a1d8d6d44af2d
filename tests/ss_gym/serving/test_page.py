"""The page of the servers in a real browser."""

import gymnasium

import ss_gym  # noqa: F401  (registers the environments)
from ss_gym.serving.access import ApiKeys
from ss_gym.serving.environment_server import environment_server
from ss_gym.serving.server import served
from tests.browser import needs_browser
from tests.ss_gym.serving.test_chat_service import KEY, Slow, fetched, service

pytestmark = needs_browser


class Page:
    """What a person sees and does."""

    def __init__(self, browser, address):
        self.browser = browser
        self.complaints()  # those of the page before
        browser.get(address)
        self.until(lambda: self.element("served").text)

    def element(self, name):
        return self.browser.find_element("id", name)

    def until(self, condition):
        from selenium.webdriver.support.ui import WebDriverWait

        return WebDriverWait(self.browser, 20, 0.02).until(lambda _: condition())

    def type(self, name, text):
        self.element(name).send_keys(text)

    def messages(self, place):
        """Who said what."""
        found = self.browser.find_elements("css selector", f"#{place} .message")
        return [(each.get_attribute("data-who"), each.text) for each in found]

    def complaints(self):
        """What the browser found wrong."""
        return [each["message"] for each in self.browser.get_log("browser")]


def test_one_can_talk_to_the_agent(browser):
    with served(service("Hello! Which order?", "<b>Thanks</b>")) as address:
        page = Page(browser, address)
        assert page.element("served").text == "clerk"
        assert not page.element("tab-play").is_displayed()
        assert not page.element("key-field").is_displayed()
        page.type("talk-text", "I want my money back.\n")
        first = [("you", "I want my money back."), ("clerk", "Hello! Which order?")]
        page.until(lambda: page.messages("talk-messages") == first)
        page.until(lambda: page.element("talk-text").is_enabled() and not page.element("talk-stop").is_displayed())
        page.type("talk-text", "<i>17</i>\n")
        # The second answer of the script: the page sends the whole conversation. Nothing of it is read as HTML.
        page.until(lambda: page.messages("talk-messages") == [*first, ("you", "<i>17</i>"), ("clerk", "<b>Thanks</b>")])
        page.until(lambda: not page.element("talk-stop").is_displayed())
        page.element("talk-new").click()
        page.until(lambda: page.messages("talk-messages") == [])
        assert page.complaints() == []


def test_a_key_is_asked_for_and_what_goes_wrong_is_told(browser):
    with served(service("Hello!", keys=ApiKeys([KEY]))) as address:
        page = Page(browser, address)
        page.type("talk-text", "Hi\n")
        page.until(lambda: "wants a key" in page.element("notice").text)
        page.type("key", KEY)
        page.until(lambda: page.element("talk-form").find_element("css selector", "button").is_enabled())
        page.type("talk-text", "Hi\n")
        page.until(lambda: page.messages("talk-messages")[-1] == ("clerk", "Hello!"))
        assert not page.element("notice").is_displayed()


def with_environment(*texts, **settings):
    return service(*texts, environment=environment_server("StateSet/Refund-v0"), **settings)


def test_enter_sends_nothing_while_an_answer_is_being_made(browser):
    backend = Slow()
    with served(service(backend=backend)) as address:
        page = Page(browser, address)
        page.type("talk-text", "First.\n")
        page.until(lambda: page.element("talk-stop").is_displayed())
        page.type("talk-text", "Second.\n")
        assert page.element("talk-text").get_attribute("value") == "Second."
        assert len(page.messages("talk-messages")) == 2
        backend.let.set()
        page.until(lambda: not page.element("talk-stop").is_displayed())
        page.type("talk-text", "\n")
        page.until(lambda: [who for who, _ in page.messages("talk-messages")] == ["you", "clerk"] * 2)
        assert page.complaints() == []


def test_one_can_play_an_episode_by_hand_with_tools_and_audit(browser):
    with served(environment_server("StateSet/Refund-v0")) as address:
        page = Page(browser, address)
        assert page.element("served").text == "StateSet/Refund-v0"
        assert not page.element("tab-talk").is_displayed()
        page.element("play-begin").find_element("css selector", "button").click()
        page.until(lambda: len(page.messages("play-messages")) == 1)
        ((who, said),) = page.messages("play-messages")
        env = gymnasium.make("StateSet/Refund-v0")
        assert (who, said) == ("customer", env.reset(seed=0, options={"split": "train"})[0])
        assert "Refund policy" in page.element("play-system").text
        page.type("play-text", "What is your e-mail and postal code?\n")
        page.until(lambda: len(page.messages("play-messages")) == 3)
        page.element("tool").send_keys("find_customer")
        page.element("tool-form").find_element("name", "email").send_keys("nobody@example.com\n")
        page.until(lambda: len(page.messages("play-messages")) == 5)
        assert [who for who, _ in page.messages("play-messages")[2:]] == ["customer", "call", "result"]
        assert '"found": false' in page.messages("play-messages")[-1][1]
        page.until(lambda: page.element("play-form").find_element("css selector", "button").is_enabled())
        page.element("tool").send_keys("end_conversation")
        page.element("tool-form").find_element("css selector", "button").click()
        page.until(lambda: page.element("audit").is_displayed())
        for fragment in ("No success", "reward: no_outcome", "failed: facts", "refund/train/"):
            assert fragment in page.element("audit").text
        assert not page.element("play-form").is_displayed()
        assert page.complaints() == []


def test_the_agent_can_be_watched(browser):
    ending = '<tool_call>{"name": "end_conversation", "arguments": {}}</tool_call>'
    with served(with_environment("Which order?", "Good bye.", ending)) as address:
        page = Page(browser, address)
        page.element("tab-play").click()
        page.element("play-begin").find_element("css selector", "button").click()
        page.until(lambda: len(page.messages("play-messages")) == 1)
        page.until(lambda: page.element("play-suggest").is_enabled())
        page.element("play-suggest").click()
        page.until(lambda: len(page.messages("play-messages")) == 3)
        assert page.messages("play-messages")[1] == ("agent", "Which order?")
        page.until(lambda: page.element("play-finish").is_enabled())
        page.element("play-finish").click()
        page.until(lambda: page.element("audit").is_displayed())
        assert ("agent", "Good bye.") in page.messages("play-messages")
        assert b"stateset_chat_requests" in fetched(address, "/metrics")[2]
        assert b"opened_sessions" in fetched(address, "/metrics")[2]


def test_the_page_loads_nothing_from_elsewhere_and_can_not_be_framed():
    with served(service("Hello!")) as address:
        status, headers, content = fetched(address, "/")
        assert status == 200
        assert "default-src 'self'" in headers["content-security-policy"]
        assert "frame-ancestors 'none'" in headers["content-security-policy"]
        assert b"http" not in content
        assert fetched(address, "/page.js")[1]["content-type"].startswith("text/javascript")
