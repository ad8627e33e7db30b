"""The kill storm: what dies at random, and the proof that no job is lost and none runs twice at once."""
