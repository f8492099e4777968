"""What Opsin does, without a transport: the contract, the engine and one use case file a noun."""
