/** The pair: the other unit, the links to it, and which unit holds which addresses. */
import type { PairView, RouterRow } from '../../appliance/api/contract.js';
import { statusText } from '../../appliance/cli/pair-text.js';
import { span, type Line } from '../frame.js';
import { type Model } from '../model.js';
import { answerOf } from '../topics.js';
import { waiting } from './overview.js';
import { routerColumns } from './roles.js';
import { sheet, type Sheet } from './sheet.js';
import { toldLines, toldTo } from './told.js';

/** Rows that the table of virtual routers has at least, with its title; the frame around the sheet takes as many as FRAME. */
const LEAST = 5;
const FRAME = 4;
/** What a small terminal is not told of the pair, the first first: `weir pair status` tells all. */
const LEFT_OUT = ['Key', 'Peer key', 'Clients', 'Shared', 'Flows', 'Roles', 'Refused', 'Waiting'];

/** The pair's state, with as much of it left out as the terminal has no room for. */
function stateLines(model: Model, view: PairView): readonly Line[] {
  const { columns: width, rows } = model.size;
  const drawn = (text: string): Line[] =>
    toldLines(model, text, width, (line) =>
      /NOT HEARD|DOWN|SILENT|^error/.test(line) ? 'bad' : 'plain',
    );
  let text = statusText(toldTo(model), view);
  for (const word of LEFT_OUT) {
    if (drawn(text).length + 2 + LEAST + FRAME <= rows) break;
    text = text
      .split('\n')
      .filter((line) => !line.startsWith(word.padEnd(10)))
      .join('\n');
  }
  return drawn(text);
}

export function pairSheet(model: Model): Sheet {
  const { look } = model;
  const pair = answerOf(model, 'pair');
  const routers = answerOf(model, 'routers');
  const status =
    pair.value === null
      ? pair.problem === null
        ? waiting(model)
        : [[span(look, pair.problem, 'bad' as const)]]
      : stateLines(model, pair.value);
  const paired = (pair.value?.peer ?? null) !== null;
  const keys = paired
    ? 'f fail over the selected router  F all  u take back  P prefer  L leave'
    : 'i invite another unit: shows a code  p join the one that shows it';
  return sheet<RouterRow>(model, {
    rows: routers.value,
    problem: routers.problem,
    columns: routerColumns(model.now),
    keyOf: ({ router }) => router,
    head: [...status, [span(look, keys, 'dim')], []],
    empty: ['There are no virtual routers: this unit holds its service addresses itself.'],
  });
}
