"""Ways to think before an answer: chains, votes, trees, programs, and judges of attempts."""
