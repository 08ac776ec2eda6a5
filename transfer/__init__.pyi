from transfer.api import build_network as build_network
from transfer.api import compare as compare
from transfer.api import convert as convert
from transfer.api import load_backbone as load_backbone
from transfer.api import read_records as read_records
from transfer.api import run_trials as run_trials
from transfer.api import write_report as write_report
