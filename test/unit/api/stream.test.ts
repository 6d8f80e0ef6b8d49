/** The stream: what a reader hears, and that a slow one costs nothing but itself. */
import type { IncomingMessage } from 'node:http';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { StreamMessage } from '../../../appliance/api/contract.js';
import { BUFFER_LIMIT_BYTES, MAX_READERS } from '../../../appliance/api/stream.js';
import type { LiveMessage } from '../../../appliance/api/live-contract.js';
import { DELTAS, event } from './fake-daemon.js';
import { LIVE } from './fake-traffic.js';
import { call, eventually, open, withApi } from './fixture.js';

const test = suite('api: stream');

/** Collects the messages of a response as they come. */
function listen(response: IncomingMessage): StreamMessage[] {
  const messages: StreamMessage[] = [];
  let text = '';
  response.setEncoding('utf8');
  response.on('data', (chunk: string) => {
    const lines = (text + chunk).split('\n');
    text = lines.pop() ?? '';
    for (const line of lines) messages.push(JSON.parse(line) as StreamMessage);
  });
  return messages;
}

test('hello first, then events and counters as they are published', () =>
  withApi(async ({ daemon, socket }) => {
    const response = await open(socket, { path: '/v1/stream' });
    assert.is(response.statusCode, 200);
    assert.is(response.headers['content-type'], 'application/x-ndjson');
    const messages = listen(response);
    await eventually('hello', () => messages.length === 1);
    assert.is(messages[0]?.type, 'hello');
    daemon.publish({ type: 'event', event: event(3) });
    daemon.publish({ type: 'counters', counters: DELTAS });
    await eventually('two messages more', () => messages.length === 3);
    assert.equal(messages.slice(1), [
      { type: 'event', event: event(3) },
      { type: 'counters', counters: DELTAS },
    ]);
    response.destroy();
  }));

test('topics choose; one subscription serves all readers and ends with the last', () =>
  withApi(async ({ daemon, socket }) => {
    const events = await open(socket, { path: '/v1/stream?topics=events' });
    const counters = await open(socket, { path: '/v1/stream?topics=counters' });
    const [heard, counted] = [listen(events), listen(counters)];
    await eventually('both greetings', () => heard.length === 1 && counted.length === 1);
    assert.is(daemon.listeners.size, 1);
    daemon.publish({ type: 'event', event: event(3) });
    daemon.publish({ type: 'counters', counters: DELTAS });
    await eventually('one message each', () => heard.length === 2 && counted.length === 2);
    assert.equal([heard[1]?.type, counted[1]?.type], ['event', 'counters']);
    events.destroy();
    counters.destroy();
    await eventually('the end of the subscription', () => daemon.listeners.size === 0);
  }));

test('a quiet stream beats', () =>
  withApi(
    async ({ socket }) => {
      const response = await open(socket, { path: '/v1/stream' });
      const messages = listen(response);
      await eventually(
        'two heartbeats',
        () => messages.filter(({ type }) => type === 'heartbeat').length >= 2,
      );
      response.destroy();
    },
    { heartbeatMs: 20 },
  ));

test('a reader that does not read is dropped at the bound; the others hear everything', () =>
  withApi(async ({ daemon, log, socket }) => {
    const slow = await open(socket, { path: '/v1/stream?topics=events' });
    slow.pause();
    slow.on('error', () => {});
    const fast = await open(socket, { path: '/v1/stream?topics=events' });
    const messages = listen(fast);
    await eventually('the greeting', () => messages.length === 1);

    // Far more than the bound and what the kernel's socket buffers hold.
    const size = 64 * 1024;
    const count = (BUFFER_LIMIT_BYTES / size) * 8;
    for (let sequence = 1; sequence <= count; sequence += 1) {
      daemon.publish({ type: 'event', event: event(sequence, 'x'.repeat(size)) });
      // Only the fast reader gets the time to read.
      await eventually(`event ${sequence}`, () => messages.length === sequence + 1);
    }
    assert.ok(
      log.messages('warn').some((message) => /does not keep up/.test(message)),
      'the slow reader was not dropped',
    );
    const waiting = log.lines.find(({ message }) => /keep up/.test(message))?.fields as {
      waiting: number;
    };
    assert.ok(
      waiting.waiting <= BUFFER_LIMIT_BYTES + size + 1024,
      `held ${waiting.waiting} bytes for it, more than the bound and one line`,
    );
    assert.is(daemon.listeners.size, 1, 'the fast reader is still subscribed');
    const sequences = messages.flatMap((message) =>
      message.type === 'event' ? [message.event.sequence] : [],
    );
    assert.equal(
      sequences,
      Array.from({ length: count }, (_, index) => index + 1),
    );
    fast.destroy();
    slow.destroy();
  }));

test('too many readers: the next one is refused, and let in when one leaves', () =>
  withApi(async ({ socket }) => {
    const readers: IncomingMessage[] = [];
    for (let number = 0; number < MAX_READERS; number += 1) {
      const reader = await open(socket, { path: '/v1/stream' });
      listen(reader);
      readers.push(reader);
    }
    const refused = await call(socket, { path: '/v1/stream' });
    assert.is(refused.status, 503);
    assert.match(refused.text, /unavailable/);
    readers.pop()?.destroy();
    let status = 503;
    const end = Date.now() + 5000;
    while (status === 503 && Date.now() < end) {
      const again = await open(socket, { path: '/v1/stream' });
      status = again.statusCode ?? 0;
      again.resume();
      readers.push(again);
    }
    assert.is(status, 200);
    for (const reader of readers) reader.destroy();
  }));

test('closing the API ends the streams properly', () =>
  withApi(async ({ api, daemon, socket }) => {
    const response = await open(socket, { path: '/v1/stream' });
    const messages = listen(response);
    const ended = new Promise<void>((resolve, reject) => {
      response.on('end', resolve);
      response.on('error', reject);
    });
    await eventually('the greeting', () => messages.length === 1);
    await api.close();
    await ended;
    assert.is(daemon.listeners.size, 0);
  }));

test('live traffic: what was asked for, until the viewer goes', () =>
  withApi(async ({ daemon, socket }) => {
    const { viewers } = daemon.traffic;
    const path = '/v1/live?view=urls&order=errors&filter=status:5xx';
    const response = await open(socket, { path });
    assert.is(response.statusCode, 200);
    const messages = listen(response) as unknown as LiveMessage[];
    await eventually('the first URLs', () => messages.length === 2);
    assert.equal([messages[0]?.type, messages[1]], ['hello', LIVE.urls]);
    assert.equal(
      [...viewers].map(({ view, order }) => [view, order]),
      [['urls', 'errors']],
    );
    response.destroy();
    await eventually('the end of looking', () => viewers.size === 0);
    for (const [query, why] of [
      ['', /view/],
      ['view=all', /view/],
      ['view=log&filter=status:9', /The filter is not understood: .*is no status/],
    ] as const) {
      const refused = await call(socket, { path: `/v1/live?${query}` });
      assert.is(refused.status, 400);
      assert.match(refused.text, why);
    }
    assert.is(viewers.size, 0);
  }));

test('history of traffic: of the unit unless a service is named, and only in known spans', () =>
  withApi(async ({ daemon, socket }) => {
    await call(socket, { path: '/v1/history' });
    await call(socket, { path: '/v1/history?of=service:shop&span=30d' });
    assert.equal(daemon.traffic.asked, [
      { of: 'unit', span: '1h' },
      { of: 'service:shop', span: '30d' },
    ]);
    assert.is((await call(socket, { path: '/v1/history?span=2h' })).status, 400);
    assert.is((await call(socket, { path: '/v1/history?of=pool:web' })).status, 400);
    assert.is((await call(socket, { path: '/v1/history?of=service:none' })).status, 404);
  }));

test.run();
