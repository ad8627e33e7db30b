"""What a queue is: jobs, their life, and the questions asked about them. Knows no Flask and no process."""
