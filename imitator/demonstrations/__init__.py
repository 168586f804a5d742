"""What an expert shows a policy: demonstrations, variations of clips, distillation, warm start, the loop's update."""
