"""Where runs on numbers and runs on conversations meet: checkpoints of the one in the trainers of the other."""

from dataclasses import replace

import pytest

from ss_gym.agents.checkpoint import CHECKPOINT, CheckpointError
from ss_trainers import BCQConfig, BCQTrainer, IQLConfig, IQLTrainer, OfflineTrainer
from ss_trainers.offline.settings import OfflineTraining
from ss_trainers.offline_text.settings import TextTraining
from tests.ss_trainers.offline.logs import log
from tests.ss_trainers.offline_text.talks import dataset
from tests.ss_trainers.tiny_model import save_tiny

TRAINING = OfflineTraining(batch_size=6, max_updates=2)


@pytest.fixture(scope="module")
def text(tmp_path_factory):
    folder = str(save_tiny(tmp_path_factory.mktemp("model")))
    return TextTraining(folder, max_updates=2, batch_size=3, max_new_tokens=4, candidates=3)


# With a critic beside the agent, whose file has the name of a checkpoint of numbers, and without.
@pytest.mark.parametrize(("kind", "config"), [(BCQTrainer, BCQConfig), (IQLTrainer, IQLConfig)])
def test_a_run_on_conversations_goes_on_with_its_log_and_not_from_its_agent(kind, config, text, tmp_path):
    training = replace(TRAINING, output_dir=str(tmp_path))
    settings = config(hidden_dim=8, num_epochs=1)
    trainer = kind(settings, training, text=text).train(dataset())
    how = r"holds an agent, .*train\(dataset\) is called again, with the same settings and output_dir"
    for go_on in (kind.resume, OfflineTrainer.resume, lambda path: kind(resume_from=path)):
        with pytest.raises(CheckpointError, match=how):
            go_on(tmp_path / CHECKPOINT)
    # What the error says is so: nothing is learnt anew.
    lines = {path: path.read_text() for path in tmp_path.rglob("metrics.jsonl")}
    again = kind(settings, training, text=text).train(dataset())
    assert lines and {path: path.read_text() for path in tmp_path.rglob("metrics.jsonl")} == lines
    assert again.policy().provenance == trainer.policy().provenance
    # And it stays a run on conversations.
    with pytest.raises(TypeError, match="begun with conversations, and can't go on with numbers: make a new trainer"):
        trainer.train(log(discrete=False))
    assert trainer.policy().provenance == again.policy().provenance
