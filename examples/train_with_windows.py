"""A PyTorch training loop whose steps are energy windows, and what each of them used.

    llm-energy-exporter run --config train.yaml &       # servers: [{name: train, requests: {source: push}}]
    python examples/train_with_windows.py

Runs in seconds on a CPU. On a GPU the steps wait for it at both ends, or they would end before their work does.
"""

import os

import torch

from exporter.client import Energy, EnergyClient, Window

STEPS = int(os.environ.get("STEPS", "6"))
DEVICE = "cuda" if torch.cuda.is_available() else "cpu"


def train(client: EnergyClient) -> tuple[Window, list[Window]]:
    """One epoch: its window, and those of its steps."""
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(256, 1024), torch.nn.ReLU(), torch.nn.Linear(1024, 10)).to(DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.1)
    synchronise = torch.cuda.synchronize if DEVICE == "cuda" else None
    steps = []
    with client.window("epoch", model="mlp") as epoch:
        for number in range(STEPS):
            images, labels = torch.randn(512, 256, device=DEVICE), torch.randint(10, (512,), device=DEVICE)
            with client.window(f"step {number}", model="mlp", synchronise=synchronise) as step:
                for _ in range(20):
                    optimizer.zero_grad()
                    torch.nn.functional.cross_entropy(model(images), labels).backward()
                    optimizer.step()
            steps.append(step)
    return epoch, steps


def in_words(name: str, window: Window, energy: Energy | None) -> str:
    if energy is None:
        return f"{name}: not known: {window.unknown}"
    return f"{name}: {energy.joules:.2f} J in {energy.seconds:.2f} s, {energy.method}"


if __name__ == "__main__":
    with EnergyClient() as client:
        epoch, steps = train(client)
        for step in steps:
            print(in_words(step.name, step, step.energy()))
        whole = epoch.energy()
        print(in_words("epoch, steps and the time between them", epoch, whole))
        if whole is not None:
            print(f"{whole.joules / STEPS:.2f} J a step")
