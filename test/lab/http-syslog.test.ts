/**
 * The access log to collectors, by UDP elsewhere and by a Unix socket here: a message for each request,
 * requests that no collector holds up, and a count of what it did not take.
 */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { UnixCollector } from '../support/unix-collector.js';
import { listenAt, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { addressOf, labPaths } from './topology.js';
import { until } from './unit.js';

const test = suite('http with a syslog collector');
const lab = needs.lab(test);
const PORT = 5514;
const paths = {
  late: join(labPaths(process.pid).files, 'late.sock'),
  deaf: join(labPaths(process.pid).files, 'deaf.sock'),
};
let stage: ProxyLab;

/** What README says that every line has. */
const keys = [
  ...['time', 'service', 'route', 'client', 'clientPort', 'method', 'target', 'host', 'protocol'],
  ...['status', 'bytesIn', 'bytesOut', 'queueUs', 'connectUs', 'headUs', 'totalUs', 'member'],
  ...['retries', 'requestId', 'userAgent', 'referer', 'ended', 'cut'],
];

/** Writes down what comes, one JSON string a line. */
const collector = `
const socket = require('node:dgram').createSocket('udp4');
socket.on('message', (bytes) => console.log(JSON.stringify(bytes.toString())));
socket.bind(${PORT}, () => console.log('ready'));
`;

test.before(async () => {
  stage = await ProxyLab.open(['member-1']);
  await stage.apply({
    pools: { shop: { members: membersOf(['member-1']) } },
    services: {
      web: {
        listen: listenAt(80),
        pool: 'shop',
        'access-log': { format: 'json', syslog: `${addressOf('member-2', 4)}:${PORT}` },
      },
      late: { listen: listenAt(81), pool: 'shop', 'access-log': { syslog: paths.late } },
      deaf: { listen: listenAt(82), pool: 'shop', 'access-log': { syslog: paths.deaf } },
    },
  });
  await stage.untilWorkers(2);
});

test.after(() => stage.close());

async function ask(from: number, to: number, port = 80): Promise<void> {
  for (let index = from; index < to; index += 1) {
    const answer = await stage.curl(`http://${service4}:${port}/status/200?n=${index}`);
    assert.is(answer, 'member-1\n');
  }
}

lab('a collector gets one message for each request, and requests do not need one', async () => {
  const messages: string[] = [];
  await stage.withScript('member-2', [collector], async (lines) => {
    await ask(0, 20);
    await until('twenty messages', 5000, () =>
      Promise.resolve(lines.length >= 20 ? true : `${lines.length} messages`),
    );
    messages.push(...lines.map((line) => JSON.parse(line) as string));
  });
  const targets = messages.map((message) => {
    // RFC 5424: facility local0 (16), severity informational (6), version 1.
    assert.match(message, /^<134>1 \d{4}-\d\d-\d\dT\S+ \S+ \S+ \S+ \S+ \S+ /);
    const entry = JSON.parse(message.slice(message.indexOf('{'))) as Record<string, unknown>;
    assert.equal(Object.keys(entry).sort(), [...keys].sort());
    assert.is(entry['client'], addressOf('client', 4, 'outside'));
    assert.is(entry['service'], 'web');
    assert.is(entry['status'], 200);
    assert.is(entry['ended'], 'complete');
    return entry['target'];
  });
  const wanted = Array.from({ length: 20 }, (_, index) => `/status/200?n=${index}`);
  assert.equal(targets.sort(), wanted.sort(), messages.join('\n'));
  await ask(20, 40);
});

async function untilEvent(pattern: RegExp): Promise<void> {
  await until(`an event like ${String(pattern)}`, 10_000, async () => {
    const events = await stage.unit.must('show', 'events', '--kind', 'worker', '--limit', '20');
    return pattern.test(events) ? true : events;
  });
}

lab('a collector at a Unix socket that comes late gets every line', async () => {
  await ask(0, 10, 81);
  await untilEvent(/late\.sock: nobody listens there/);
  const collector = new UnixCollector(paths.late);
  try {
    const messages: string[] = [];
    await until('ten messages', 10_000, () => {
      for (let one = collector.read(); one !== null; one = collector.read()) messages.push(one);
      return Promise.resolve(messages.length >= 10 ? true : `${messages.length} messages`);
    });
    const targets = messages.map((message) => /"target":"([^"]*)"/.exec(message)?.[1]);
    const wanted = Array.from({ length: 10 }, (_, index) => `/status/200?n=${index}`);
    assert.equal(targets.sort(), wanted.sort());
  } finally {
    collector.close();
  }
});

lab('a collector that does not read holds nobody up, and what is lost is counted', async () => {
  const requests = 1500;
  const collector = new UnixCollector(paths.deaf);
  try {
    // Lines of 6 KiB: some nine megabytes, of which four may wait.
    const said = await stage.curl(
      ...['-o', '/dev/null', '-w', '%{http_code} %{time_total}\n'],
      `http://${service4}:82/?${'x'.repeat(6000)}[1-${requests}]`,
    );
    const answers = said.trim().split('\n');
    assert.is(answers.length, requests);
    const wrong = answers.filter((answer) => !/^200 0\./.test(answer));
    assert.equal(wrong, [], 'expected 200 within a second for each');
    await untilEvent(/\d+ lines of the access log syslog:\S+deaf\.sock were dropped/);
    let received = 0;
    await until('each line has come or is counted as dropped', 20_000, async () => {
      while (collector.read() !== null) received += 1;
      const { alarms } = await stage.unit.status();
      const alarm = alarms.find(
        ({ code, message }) => code === 'access-log' && message.includes(paths.deaf),
      );
      const dropped = Number(/dropped, (\d+) so far/.exec(alarm?.message ?? '')?.[1] ?? 0);
      if (dropped > 0 && received > 0 && received + dropped === requests) return true;
      return `${received} came, ${dropped} dropped, of ${requests}`;
    });
    assert.is((await stage.unit.weir('status', '--check')).status, 8, 'expected an alarm');
  } finally {
    collector.close();
  }
});

test.run();
