from ss_gym.users.acts import Act, Value
from ss_gym.users.heard import Heard

TWENTY = Value("money", 2000, "own")
THIRTY = Value("money", 3000, "unknown")
PERCENT = Value("percent", 15, "policy")


def test_a_message_is_sorted_by_what_it_asks():
    turn = Heard(
        [
            Act("refuse", verb="refund", ground="window"),
            Act("offer", verb="store_credit", values=(TWENTY, TWENTY, THIRTY)),
            Act("ask", slot="email"),
            Act("ask", slot="confirmation"),
            Act("ask", slot="email"),
        ]
    )
    assert turn.kinds == {"refuse", "offer", "ask"}
    assert turn.asked == ["email", "confirmation"]
    assert turn.slots == {"email", "confirmation"}
    assert turn.questions == [Act("ask", slot="confirmation")]
    assert turn.refused and turn.grounds == {"window"}
    assert turn.amounts == (2000, 3000)
    assert not turn.transfer and not turn.done and not turn.mentions_fee


def test_the_last_proposal_counts_and_an_offer_only_where_nothing_is_proposed():
    offer, first, second = Act("offer", verb="exchange"), Act("propose", verb="refund"), Act("propose", verb="exchange")
    assert Heard([first, second, offer]).proposal == second
    assert Heard([offer]).proposal == offer
    assert Heard([Act("propose"), offer]).proposal == offer  # a proposal of nothing in particular is none


def test_a_percentage_anywhere_is_a_mention_of_a_fee():
    turn = Heard([Act("inform", values=(PERCENT,)), Act("confirm_done", verb="refund", values=(TWENTY,))])
    assert turn.mentions_fee
    assert turn.done == {"refund"}


def test_nothing_heard_is_nothing_asked():
    turn = Heard([])
    assert not (turn.kinds or turn.asked or turn.refused or turn.proposal or turn.amounts)
