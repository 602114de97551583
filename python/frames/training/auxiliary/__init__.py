"""What is learnt beside the labels, one file per task; `tasks` knows them by name."""
