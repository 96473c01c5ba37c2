"""What scraping costs while nobody asks for anything: the CPU time of each of Pointsman's doors, by the number of endpoints."""

import contextlib
import pathlib
import re
import subprocess
import tempfile
import time

import proxies

from proxies import Place, free_port, processes

ENDPOINTS = (4, 100)
METRICS_BYTES = 55_000      # as long as vLLM's page
INTERVAL = "50ms"           # as the reference scrapes
WHO = ("pointsman", "epp")
SETTLE_SECONDS = 1.0        # until every endpoint has been read and connections stand
TICKS_PER_SECOND = 100.0    # of /proc/PID/stat, fixed by Linux


def measure(binaries: pathlib.Path, proxy_cores: set[int], load_cores: set[int], seconds: float) -> list[dict]:
    results = []
    for count in ENDPOINTS:
        with contextlib.ExitStack() as stack:
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="pointsman-bench-")))
            command = [binaries / "load", "upstream", "--endpoints", count, "--metrics-bytes", METRICS_BYTES]
            upstream = proxies.run_on(load_cores, command, stack, stdout=subprocess.PIPE, text=True)
            place = Place(folder, [upstream.stdout.readline().strip() for _ in range(count)], proxy_cores)
            for name in WHO:
                results.append(one(name, place, binaries / "pointsman", seconds))
    return results


def one(name: str, place: Place, binary: pathlib.Path, seconds: float) -> dict:
    with contextlib.ExitStack() as stack:
        own = Place(place.folder / name, place.endpoints, place.cores)
        own.folder.mkdir()
        metrics, grpc, health, gateway, admin = (free_port() for _ in range(5))
        command = [binary, "run", "--admin", f"127.0.0.1:{metrics}", "--scrape-interval", INTERVAL]
        if name == "epp":
            command = [binary, "epp", "--pool-name", "gemma3", f"--grpc-port={grpc}", f"--grpc-health-port={health}"]
            command += [f"--metrics-port={metrics}", "--admin", f"127.0.0.1:{admin}", "--refresh-metrics-interval", INTERVAL]
        command += ["--config", proxies.manifests(own, gateway)]
        process = proxies.ready(name, command, lambda: pages(metrics) > len(place.endpoints), own, stack)
        time.sleep(SETTLE_SECONDS)
        before, start = (cpu_seconds(process.pid), pages(metrics)), time.monotonic()
        time.sleep(seconds)
        elapsed = time.monotonic() - start
        cores = (cpu_seconds(process.pid) - before[0]) / elapsed
        each = (pages(metrics) - before[1]) / elapsed / len(place.endpoints)
    return {"process": name, "endpoints": len(place.endpoints), "cores": cores, "pages_per_second_each": each}


def pages(port: int) -> float:
    """Pages that were read, by the process's own count."""
    try:
        page = processes.get(("127.0.0.1", port), "/metrics")
    except OSError:
        return 0
    return sum(float(count) for count in re.findall(r'^pointsman_scrapes_total\{result="read"\} (\S+)$', page, re.MULTILINE))


def cpu_seconds(pid: int) -> float:
    """User and system time: fields 14 and 15, counted from behind the command in parentheses."""
    fields = pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / TICKS_PER_SECOND


def print_table(results: list[dict]) -> None:
    if not results:
        return
    print(f"\nidle, metrics of {METRICS_BYTES:,} bytes scraped every {INTERVAL}\n")
    print(f"{'process':<10} {'endpoints':>9} {'cores':>7} {'pages/s of each':>16}")
    for result in results:
        print(
            f"{result['process']:<10} {result['endpoints']:>9} {result['cores']:>7.3f} "
            f"{result['pages_per_second_each']:>16.1f}"
        )
