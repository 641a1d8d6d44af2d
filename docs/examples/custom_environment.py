"""An environment of one's own: tools with a state, and a criterion of success that looks into it.

    python docs/examples/custom_environment.py

It plays the right replies, to see that the task can be done, and lets a model try each task; the tiny agent has only
ever seen a shop's tools, and does none. It prints the conversation and the model's figures; half a minute.
`trainer.train()` would train it, as in `complete_grpo_training.py`.
"""

from ss_gym import TaskEnvironment, Toolkit, tool
from ss_trainers import Episode, GRPOTrainer


class Desk(Toolkit):
    """The desk of a library; each episode has a new one."""

    def __init__(self) -> None:
        self.lent: list[str] = []

    @tool(kind="write")
    def lend(self, title: str) -> str:
        """Lend a book to the reader.

        Args:
            title: of the book.
        """
        self.lent.append(title)
        return "until Monday"


def is_lent(turns, context) -> bool:
    """Whether just that book is lent, and the reader was told until when."""
    return context["toolkit"].lent == [context["title"]] and "Monday" in turns[-1].content


MODEL = "tiny"
TASKS = [{"id": title, "goal": f"I'd like to borrow {title}.", "title": title} for title in ("Emma", "Dracula", "Kim")]
RIGHT = ('<tool_call>{"name": "lend", "arguments": {"title": "Emma"}}</tool_call>', "You may keep it until Monday.")


def library() -> TaskEnvironment:
    """Makes an environment; a trainer makes as many as it plays at once."""
    return TaskEnvironment(TASKS, success_criteria=is_lent, tools=Desk, max_turns=2, max_steps=4)


def main() -> None:
    """Plays, and lets a model try."""
    env = library()
    print("Reader:", env.reset(options={"scenario_id": "Emma"})[0])
    for action in RIGHT:
        answer, reward, *_ = env.step(action)
        print(f"Agent: {action}\nAnswer: {answer or '-'}, reward {reward}")
    trainer = GRPOTrainer(library, MODEL)
    metrics = trainer.evaluate([Episode(options={"scenario_id": task["id"]}) for task in TASKS]).metrics
    print(f"{MODEL}: {', '.join(f'{name} {metrics[name]:.2f}' for name in ('success', 'steps'))}")


if __name__ == "__main__":
    main()
