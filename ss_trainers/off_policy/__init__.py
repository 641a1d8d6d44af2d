"""Learning from logged conversations with text actions: features, critics, estimates of what a policy is worth."""
