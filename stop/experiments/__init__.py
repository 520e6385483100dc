"""What a user can ask for, one room a kind: rounds, improve, transfer, bypass."""
