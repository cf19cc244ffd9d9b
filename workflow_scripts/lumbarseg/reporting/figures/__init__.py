"""The paper's figures and ours. Each function takes data frames or arrays and gives a matplotlib figure."""
