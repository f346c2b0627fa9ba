"""From cells to a verified DAG of actions; reads templates, touches nothing else."""
