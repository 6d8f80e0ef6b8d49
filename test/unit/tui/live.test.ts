import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { LiveMessage } from '../../../appliance/api/contract.js';
import { livePath, livePlace } from '../../../tui/live.js';
import { type Model } from '../../../tui/model.js';
import { answerOf, pathOf, wanted } from '../../../tui/topics.js';
import { step } from '../../../tui/step.js';
import { trafficColumns, trafficNow } from '../../../tui/traffic.js';
import { LIVE, trafficOf } from '../api/fake-traffic.js';
import { after, keys, world } from './world.js';

const live = suite('tui: live traffic');

function heard(model: Model, message: LiveMessage, path = livePath(model) ?? ''): Model {
  return step(model, { type: 'live', path, message }).model;
}

live('T leads there from every screen, v goes through the views, Esc back', () => {
  const from = after(world(), ...keys('3'));
  assert.is(livePath(from), null, 'nothing is asked for elsewhere');
  const clients = after(from, ...keys('T'));
  assert.is(livePath(clients), '/v1/live?view=clients&order=hits');
  const views = ['v', 'vv', 'vvv', 'vvvv', 'V'].map((typed) =>
    livePath(after(clients, ...keys(typed))),
  );
  assert.equal(views, [
    '/v1/live?view=urls&order=hits',
    '/v1/live?view=flows',
    '/v1/live?view=log',
    '/v1/live?view=clients&order=hits',
    '/v1/live?view=log',
  ]);
  assert.is(after(clients, ...keys('vv', 'Esc')).place.screen, 'pools');
});

live('a filter is asked for when it was entered, not with each letter; Esc takes it away', () => {
  const log = after(world({ place: livePlace('log') }), ...keys('/status:5xx'));
  assert.is(livePath(log), '/v1/live?view=log');
  const entered = after(log, ...keys('Enter'));
  assert.is(livePath(entered), '/v1/live?view=log&filter=status%3A5xx');
  assert.is(livePath(after(log, ...keys('Esc'))), '/v1/live?view=log');
  assert.is(livePath(after(entered, ...keys('Esc'))), '/v1/live?view=log');
});

live('what was asked for before is not shown, and a refusal is', () => {
  const urls = heard(world({ place: livePlace('urls') }), LIVE.urls);
  const sorted = after(urls, ...keys('s'));
  assert.is(livePath(sorted), '/v1/live?view=urls&order=bits');
  const late = heard(sorted, LIVE.clients, '/v1/live?view=urls&order=hits');
  assert.is(late.live.news, LIVE.urls);
  const path = livePath(sorted) ?? '';
  const refused = step(sorted, { type: 'live-problem', path, text: 'no such status' }).model;
  assert.is(refused.live.problem, 'no such status');
  assert.is(heard(refused, LIVE.urls).live.problem, null);
});

live('a pause holds what is seen; the log remembers, and can be gone through', () => {
  let log = world({ place: livePlace('log') });
  for (let n = 0; n < 50; n += 1) log = heard(log, LIVE.log);
  assert.is(log.live.lines.length, 100);
  const paused = after(log, ...keys(' '));
  assert.is(heard(paused, LIVE.log).live.lines.length, 100);
  const back = after(paused, ...keys('g'));
  assert.is(back.live.back, 100 - (back.size.rows - 4));
  assert.is(after(back, ...keys('G')).live.back, 0);
  const on = after(back, ...keys(' '));
  assert.equal([on.live.back, heard(on, LIVE.log).live.lines.length], [0, 102]);
  for (let n = 0; n < 600; n += 1) log = heard(log, LIVE.log);
  assert.is(log.live.lines.length, 1000);
});

live.run();

const charts = suite('tui: charts of the history');

charts('t asks for what lies further back, and comes round', () => {
  const { model, effects } = step(world(), keys('t')[0]!);
  assert.equal(effects, [{ type: 'refresh' }]);
  assert.ok(wanted(model).includes('traffic'));
  assert.is(pathOf('traffic', model.place), '/v1/history?of=unit&span=1h');
  assert.is(answerOf(model, 'traffic').value, null, 'another span is not shown in its place');
  const round = after(model, ...keys('tttt'));
  assert.is(pathOf('traffic', round.place), '/v1/history?of=unit&span=10m');
  const service = { screen: 'service', name: 'shop', pool: '', span: '30d' } as const;
  assert.is(pathOf('traffic', service), '/v1/history?of=service%3Ashop&span=30d');
});

charts('columns average whole slots between bounds that stand still, and gaps stay gaps', () => {
  const history = trafficOf('unit');
  const columns = trafficColumns(history, ['connections'], 36);
  assert.is(columns.length, 36);
  // 14:00 is slot 84 of its day: a bound of columns of four, so the newest is alone in its column.
  assert.is(columns.at(-1), 143);
  assert.is(columns.at(-2), 140.5);
  const blank = columns.flatMap((one, index) => (one === null ? [index] : []));
  assert.equal(blank, [15, 16]);
  const moved = { ...history, newest: history.newest + history.stepMs };
  const values = history.values.connections ?? [];
  const later = trafficColumns(
    { ...moved, values: { connections: [...values.slice(1), 144] } },
    ['connections'],
    36,
  );
  assert.equal(later.slice(0, -1).slice(1), columns.slice(1, -1));
  assert.is(trafficNow(history, ['bitsIn', 'bitsOut']), 143e6 * 5);
  assert.is(trafficNow({ ...history, values: {} }, ['cpu']), null);
});

charts.run();
