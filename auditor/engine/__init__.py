"""Rules over tables: verdicts, waivers, and the rules' own tests."""
