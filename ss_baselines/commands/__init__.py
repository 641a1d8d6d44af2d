"""What each command of ``stateset-agents`` does; the options are declared in ``ss_baselines.cli``."""
