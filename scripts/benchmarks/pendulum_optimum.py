"""The best mean return of Pendulum-v1, by dynamic programming: `python scripts/benchmarks/pendulum_optimum.py`.

Values of the 200 steps are computed backwards on a grid of angles and velocities, between whose points they are interpolated
linearly; torques are the best of a grid too. Starts are those of the environment: any angle, velocities up to 1.
"""

from __future__ import annotations

import argparse
import math

import numpy as np

STEPS, MAX_TORQUE, MAX_VELOCITY, SECONDS = 200, 2.0, 8.0, 0.05


def step(angle: np.ndarray, velocity: np.ndarray, torque: float) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Reward, velocity and angle after a step, for gravity 10, mass 1 and length 1; the new velocity moves the angle."""
    reward = -(angle**2 + 0.1 * velocity**2 + 0.001 * torque**2)
    faster = np.clip(velocity + (15.0 * np.sin(angle) + 3.0 * torque) * SECONDS, -MAX_VELOCITY, MAX_VELOCITY)
    return reward, faster, angle + faster * SECONDS


def values(angles: int, velocities: int, torques: int) -> tuple[np.ndarray, np.ndarray]:
    """The best returns from each point of the grid, `[angles, velocities]`; and its velocities."""
    angle, velocity = np.meshgrid(
        np.linspace(-math.pi, math.pi, angles), np.linspace(-MAX_VELOCITY, MAX_VELOCITY, velocities), indexing="ij"
    )
    found = np.zeros([angles, velocities])
    moves = []
    for torque in np.linspace(-MAX_TORQUE, MAX_TORQUE, torques):
        reward, faster, turned = step(angle, velocity, torque)
        row = (turned + math.pi) % (2.0 * math.pi) / (2.0 * math.pi) * (angles - 1)
        column = (faster + MAX_VELOCITY) / (2.0 * MAX_VELOCITY) * (velocities - 1)
        low_row, low_column = np.minimum(row.astype(int), angles - 2), np.minimum(column.astype(int), velocities - 2)
        moves.append((reward, low_row, low_column, row - low_row, column - low_column))
    for _ in range(STEPS):
        found = np.max([reward + _between(found, *where) for reward, *where in moves], axis=0)
    return found, velocity[0]


def _between(table: np.ndarray, row: np.ndarray, column: np.ndarray, down: np.ndarray, right: np.ndarray) -> np.ndarray:
    """Linear interpolation between the four points around."""
    upper = table[row, column] * (1.0 - right) + table[row, column + 1] * right
    lower = table[row + 1, column] * (1.0 - right) + table[row + 1, column + 1] * right
    return upper * (1.0 - down) + lower * down


def main() -> None:
    """Prints mean and standard deviation over all starts."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--angles", type=int, default=241, help="points of the grid of angles (default: %(default)s)")
    parser.add_argument("--velocities", type=int, default=201, help="points of the grid of velocities (default: %(default)s)")
    parser.add_argument("--torques", type=int, default=17, help="torques to choose from (default: %(default)s)")
    arguments = parser.parse_args()
    found, velocity = values(arguments.angles, arguments.velocities, arguments.torques)
    starts = found[:-1, np.abs(velocity) <= 1.0]  # The last angle is the first one.
    quarters = ", ".join(f"{quarter:.0f}" for quarter in np.percentile(starts, [25, 50, 75]))
    print(f"mean {starts.mean():.1f}, standard deviation {starts.std():.1f}, quarters {quarters}")


if __name__ == "__main__":
    main()
