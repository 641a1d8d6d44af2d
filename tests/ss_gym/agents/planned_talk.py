"""What the tests of plans are about."""

TWO = "Hi! Refund my lamp and please cancel my tea subscription."


def user(text):
    return {"role": "user", "content": text}


def says(text):
    return {"role": "assistant", "content": text}


def calls(name, result='{"id": "R1"}'):
    """A call and what came back."""
    call = {"id": "call_0", "type": "function", "function": {"name": name, "arguments": "{}"}}
    own = {"role": "assistant", "content": "", "tool_calls": [call]}
    return [own, {"role": "tool", "tool_call_id": "call_0", "content": result}]


def states(plan):
    return " ".join(step.status for step in plan.steps)


class Clock:
    """Shows what it is set to."""

    now = 0.0

    def __call__(self):
        return self.now
