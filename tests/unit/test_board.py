"""What the live table knows and shows, without a terminal."""

from __future__ import annotations

from rich.console import Console

from transfer.trials.board import DONE, ELSEWHERE, FAILED, Board
from transfer.trials.display import picture


class Clock:
    def __init__(self) -> None:
        self.seconds = 100.0

    def __call__(self) -> float:
        return self.seconds


def board_of(num_trials: int, *, num_devices: int = 2) -> tuple[Board, Clock]:
    clock = Clock()
    trials = [(f"trial {number}", "voc") for number in range(num_trials)]
    return Board(trials, num_devices=num_devices, clock=clock), clock


def lines_of(board: Board, *, num_lines: int = 24, already_done: int = 0) -> list[str]:
    console = Console(width=120, height=num_lines)
    with console.capture() as capture:
        console.print(picture(board, already_done=already_done, num_lines=num_lines))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_running_trials_eta_follows_its_pace_in_what_it_does_now() -> None:
    board, clock = board_of(1)
    board.start("trial 0", "GPU 3")
    row = board.rows["trial 0"]
    assert board.seconds_left(row) is None
    clock.seconds += 50  # loading data: says nothing about the steps
    board.advance("trial 0", 10, 100, "training")
    assert board.seconds_left(row) is None
    clock.seconds += 20
    board.advance("trial 0", 20, 100, "training")  # 2 s a step
    assert board.seconds_left(row) == 160
    board.advance("trial 0", 0, 8, "testing")
    assert board.seconds_left(row) is None


def test_a_trial_of_a_kind_that_was_done_before_takes_as_long_again() -> None:
    board, clock = board_of(5)
    board.start("trial 0", "cpu 0")
    clock.seconds += 60
    board.move("trial 0", DONE, "box_ap 40.00")
    board.start("trial 1", "cpu 0")
    clock.seconds += 20
    assert board.seconds_left(board.rows["trial 1"]) == 40
    assert board.all_seconds_left() == (40 + 3 * 60) / 2


def test_the_whole_is_never_ready_before_its_longest_trial() -> None:
    board, clock = board_of(1, num_devices=8)
    board.start("trial 0", "GPU 0")
    board.advance("trial 0", 0, 10, "training")
    clock.seconds += 10
    board.advance("trial 0", 1, 10, "training")
    assert board.all_seconds_left() == 90


def test_every_state_is_shown_with_what_one_wants_to_know_of_it() -> None:
    board, clock = board_of(6)
    board.start("trial 0", "GPU 0,1")
    clock.seconds += 65
    board.move("trial 0", DONE, "box_ap 41.23")
    board.start("trial 1", "GPU 0,1")
    board.move("trial 1", FAILED, "RuntimeError: [red]CUDA out of memory[/red]")
    board.move("trial 2", ELSEWHERE, "process 12 on node7")
    board.start("trial 3", "GPU 0,1")
    board.advance("trial 3", 7, 24, "training")
    text = lines_of(board, already_done=4)
    assert [line.split()[2] for line in text[1:7]] == ["done", "failed", "elsewhere", "running", "waiting", "waiting"]
    assert "box_ap 41.23 in 1:05" in text[1]
    assert "RuntimeError: [red]CUDA out of memory[/red]" in text[2]  # a reason is text, not markup
    assert "process 12 on node7" in text[3]
    assert "training 7/24" in text[4] and "GPU 0,1" in text[4] and "1:05" in text[4]
    assert text[-1] == "5 of 10 done, 1 failed, ETA 1:38"


def test_a_thousand_trials_fit_a_small_terminal_and_what_is_folded_is_counted() -> None:
    board, clock = board_of(1000)
    for number in range(300):
        board.start(f"trial {number}", "cpu 0")
        clock.seconds += 1
        board.move(f"trial {number}", DONE, "miou 80.00")
    board.start("trial 300", "cpu 0")
    text = lines_of(board, num_lines=12)
    assert len(text) <= 12
    assert any("trial 300" in line and "running" in line for line in text)
    assert any("trial 299" in line and "done" in line for line in text)
    assert "+ 697 waiting" in text[-2] and "+ 296 done" in text[-2]
    assert text[-1].startswith("300 of 1000 done, ETA ")


def test_on_a_narrow_terminal_a_long_reason_is_cut_before_any_name() -> None:
    board, _ = board_of(2)
    board.start("trial 0", "GPU 0,1")
    board.move("trial 0", FAILED, "RuntimeError: CUDA out of memory, tried to allocate 2.00 GiB on this very device")
    board.start("trial 1", "GPU 0,1")
    console = Console(width=60)
    with console.capture() as capture:
        console.print(picture(board, already_done=0, num_lines=24))
    failed, running = capture.get().splitlines()[1:3]
    assert failed.startswith("trial 0  failed   RuntimeError: CUDA out") and "…" in failed
    assert running.startswith("trial 1  running") and running.rstrip().endswith("GPU 0,1")
