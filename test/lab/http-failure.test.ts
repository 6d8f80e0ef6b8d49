/**
 * What clients see of the proxy when something fails behind it or within it: members that die in the
 * middle of an answer, under load or gently, members that only err, workers that are killed; and what
 * limits do to whoever asks too much.
 */
import { once } from 'node:events';
import { existsSync, mkdirSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { Agent, request, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { needs } from '../support/needs.js';
import { listenAt, loud, membersOf, ProxyLab, service4 } from './proxy-lab.js';
import { RawClient } from './raw-client.js';
import { addressOf, labPaths, type MemberName } from './topology.js';
import { until } from './unit.js';

const test = suite('failures behind the unit');
const lab = needs.lab(test);
const web = `http://${service4}`;
const names = ['member-1', 'member-2', 'member-3'] as const;
const log = join(labPaths(process.pid).files, 'access', 'access.log');
let stage: ProxyLab;

test.before(
  loud(async () => {
    stage = await ProxyLab.open();
    mkdirSync(join(log, '..'));
    const monitor = {
      ...{ type: 'http', path: '/healthz', rise: 1, fall: 2 },
      ...{ interval: '200ms', timeout: '150ms' },
    };
    await stage.apply({
      pools: {
        web: { algorithm: 'round-robin', members: membersOf(names), monitor },
        one: { members: membersOf(['member-1']) },
        narrow: {
          members: membersOf(['member-1'], { 'max-connections': 1 }),
          queue: { length: 2, timeout: '10s' },
        },
        outliers: {
          algorithm: 'round-robin',
          members: membersOf(names),
          monitor,
          ejection: { failures: 3, hold: '2s' },
        },
      },
      services: {
        web: { listen: listenAt(80), pool: 'web' },
        one: { listen: listenAt(81), pool: 'one' },
        limited: {
          listen: listenAt(82),
          pool: 'one',
          limits: { requests: { rate: '6/m', burst: 5 } },
        },
        few: { listen: listenAt(83), pool: 'one', limits: { connections: 3 } },
        narrow: { listen: listenAt(84), pool: 'narrow' },
        outliers: { listen: listenAt(85), pool: 'outliers' },
        logged: {
          listen: listenAt(86),
          pool: 'one',
          'access-log': { file: log, rotate: { size: '1MiB', keep: 2 } },
        },
      },
    });
    await stage.unit.untilMembers(
      names.map((name) => addressOf(name, 4)),
      ['UP'],
    );
  }),
);

test.after(() => stage.close());

/** Clients that keep their connections and ask without a pause, until they are told to stop. */
class Load {
  answered = 0;
  readonly failures: string[] = [];
  readonly byMember = new Map<string, number>();
  private going = true;
  private readonly agent: Agent;
  private readonly done: Promise<unknown>;

  constructor(
    private readonly url: string,
    clients: number,
  ) {
    this.agent = new Agent({ keepAlive: true, maxSockets: clients });
    this.done = Promise.all(Array.from({ length: clients }, () => this.client()));
  }

  async until(answered: number): Promise<void> {
    const goal = this.answered + answered;
    await until(`${answered} more answers`, 30_000, () =>
      Promise.resolve(this.answered >= goal ? true : `${this.answered} of ${goal}`),
    );
  }

  async stop(): Promise<void> {
    this.going = false;
    await this.done;
    this.agent.destroy();
  }

  private async client(): Promise<void> {
    while (this.going) {
      try {
        const asked = request(this.url, { agent: this.agent });
        asked.end();
        const [response] = (await once(asked, 'response')) as [IncomingMessage];
        let text = '';
        for await (const piece of response) text += String(piece);
        if (response.statusCode !== 200) throw new Error(`${response.statusCode ?? 0} ${text}`);
        const member = text.trim();
        this.byMember.set(member, (this.byMember.get(member) ?? 0) + 1);
        this.answered += 1;
      } catch (error) {
        this.failures.push(String(error));
      }
    }
  }
}

async function under<T>(load: Load, work: () => Promise<T>): Promise<T> {
  try {
    await load.until(200);
    return await work();
  } finally {
    await load.stop();
  }
}

function keyOf(name: MemberName): string {
  return `${addressOf(name, 4)}:8080`;
}

lab('a member that ends before its answer, or in its head, is a 502', async () => {
  for (const where of ['nothing', 'head']) {
    const answer = await RawClient.ask(
      ...([81, service4] as const),
      `POST /die/${where} HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nConnection: close\r\n\r\n`,
    );
    assert.match(answer, /^HTTP\/1\.1 502 /, where);
  }
});

lab('an answer that breaks off never looks whole', async () => {
  for (const where of ['body', 'chunk']) {
    const ran = await stage.run('curl', '-sS', '--max-time', '10', `${web}:81/die/${where}`);
    // 18: shorter than announced; 56: reset in the middle.
    assert.ok(ran.status === 18 || ran.status === 56, `${where}: ${ran.status} ${ran.stderr}`);
  }
});

lab('a member that is killed under load costs no idempotent request', async () => {
  const load = new Load(`${web}/`, 32);
  await under(load, async () => {
    await stage.killMember('member-2');
    await stage.unit.untilMembers([addressOf('member-2', 4)], ['DOWN']);
    await load.until(200);
    await stage.startMember('member-2');
    await stage.unit.untilMembers([addressOf('member-2', 4)], ['UP']);
    await load.until(500);
  });
  assert.equal(load.failures.slice(0, 3), [], `of ${load.answered} requests`);
  assert.is(load.byMember.size, 3);
});

lab('a member that drains under load loses nothing, and gets nothing new', async () => {
  const load = new Load(`${web}/slow/5`, 32);
  await under(load, async () => {
    await stage.unit.must('set', 'member', 'web', keyOf('member-3'), 'draining');
    await load.until(100);
    const before = load.byMember.get('member-3') ?? 0;
    await load.until(500);
    // Those that were under way then have come since; new ones have not.
    const late = (load.byMember.get('member-3') ?? 0) - before;
    assert.is(late, 0);
    await stage.unit.must('set', 'member', 'web', keyOf('member-3'), 'enabled');
    await load.until(200);
  });
  assert.equal(load.failures, []);
});

lab('changes of the configuration under load lose nothing', async () => {
  const load = new Load(`${web}/`, 32);
  await under(load, async () => {
    for (let weight = 2; weight < 5; weight += 1) {
      const change = ['set', 'member', 'web', keyOf('member-1'), '--weight', String(weight)];
      await stage.unit.must(...change);
      await load.until(100);
    }
  });
  assert.equal(load.failures, []);
});

lab('a killed worker is replaced, and new clients wait for it instead of failing', async () => {
  await stage.untilWorkers(2);
  const [victim = 0] = stage.workers();
  process.kill(victim, 'SIGKILL');
  const answers = await Promise.all(Array.from({ length: 50 }, () => stage.curl(`${web}/`)));
  assert.ok(answers.every((text) => /^member-\d\n$/.test(text)));
  await stage.untilWorkers(2);
  assert.not.ok(stage.workers().includes(victim));
});

lab('who asks too fast gets 429 with Retry-After, over all workers', async () => {
  const statuses = (
    await stage.curl('-o', '/dev/null', '-w', '%{http_code}\n', `${web}:82/?[1-12]`)
  )
    .trim()
    .split('\n');
  assert.is(statuses.filter((status) => status === '200').length, 5, statuses.join(' '));
  assert.is(statuses.filter((status) => status === '429').length, 7, statuses.join(' '));
  const refused = await stage.curl('-D', '-', `${web}:82/`);
  const wait = Number(/\r\nretry-after: (\d+)\r\n/i.exec(refused)?.[1]);
  assert.ok(wait >= 1 && wait <= 10, refused);
  const ends = ['-o', '/dev/null', '-w', '%{http_code}', '-X', 'OPTIONS', '-H', 'Max-Forwards: 0'];
  const own = await stage.curl(...ends, `${web}:82/`);
  assert.is(own, '429', 'what Weir answers itself is limited as well');
});

lab('connections over the limit of a service are refused, until others have gone', async () => {
  const held: RawClient[] = [];
  try {
    for (let i = 0; i < 3; i += 1) {
      const raw = await RawClient.connect(83, service4);
      held.push(raw);
      raw.write('GET / HTTP/1.1\r\nHost: a\r\n\r\n');
      await raw.until(/member-1\n$/);
    }
    const more = await stage.run(
      'curl',
      '-s',
      '-o',
      '/dev/null',
      '-w',
      '%{http_code}',
      `${web}:83/`,
    );
    assert.ok(more.stdout === '503' || more.status !== 0, `${more.status} ${more.stdout}`);
    held.pop()?.close();
    await until('there is room again', 10_000, async () => {
      const ran = await stage.run('curl', '-s', `${web}:83/`);
      return ran.stdout === 'member-1\n' ? true : `${ran.status} ${ran.stdout}`;
    });
  } finally {
    for (const raw of held) raw.close();
  }
});

lab('what a busy member cannot take waits, and what finds no place is a 503', async () => {
  // One is worked on; two wait, at each of the two workers.
  const clients = await Promise.all(
    Array.from({ length: 9 }, () => RawClient.connect(84, service4)),
  );
  try {
    for (const raw of clients) {
      raw.write('GET /slow/500 HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n');
    }
    const answers = await Promise.all(clients.map((raw) => raw.end()));
    const statuses = answers.map((text) => text.slice(9, 12)).sort();
    const served = statuses.filter((status) => status === '200').length;
    assert.ok(served >= 3 && served <= 5, statuses.join(' '));
    assert.is(statuses.filter((status) => status === '503').length, 9 - served, statuses.join(' '));
  } finally {
    for (const raw of clients) raw.close();
  }
});

lab('a member that errs is left out, and comes back', async () => {
  const path = `${web}:85/flaky/member-2`;
  const ask = (times: number): Promise<string> =>
    stage.curl('-o', '/dev/null', '-w', '%{http_code} ', `${path}?[1-${times}]`);
  await ask(30);
  const events = await stage.unit.must('show', 'events', '--kind', 'worker', '--limit', '20');
  assert.match(events, /10\.77\.0\.12:8080 takes no new requests for/);
  await until('it takes requests again', 20_000, async () => {
    const said = await stage.unit.must('show', 'events', '--kind', 'worker', '--limit', '20');
    return /takes requests again/.test(said) ? true : said;
  });
  await until('it is asked again', 20_000, async () => {
    const statuses = await ask(6);
    return statuses.includes('500') ? true : statuses;
  });
});

lab('every request is a line of JSON, and files give way to new ones', async () => {
  await stage.curl('-A', 'a "quoted" agent', '-H', 'Referer: http://b/', `${web}:86/echo?q=1`);
  const lines = (): Record<string, unknown>[] =>
    (existsSync(log) ? readFileSync(log, 'utf8') : '')
      .trim()
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => JSON.parse(line) as Record<string, unknown>);
  await until('the line is there', 10_000, () =>
    Promise.resolve(lines().length === 1 ? true : `${lines().length} lines`),
  );
  const [line = {}] = lines();
  const { service, client, method, target, status, userAgent, referer, member, protocol } = line;
  assert.equal(
    { service, client, method, target, status, userAgent, referer, protocol },
    {
      ...{ service: 'logged', client: addressOf('client', 4, 'outside'), method: 'GET' },
      ...{ target: '/echo?q=1', status: 200, protocol: 'HTTP/1.1' },
      ...{ userAgent: 'a "quoted" agent', referer: 'http://b/' },
    },
  );
  assert.match(String(member), /10\.77\.0\.11:8080/);
  // 1,500 lines of a kilobyte: the file of a megabyte is full once.
  const long = 'x'.repeat(700);
  await stage.curl('-o', '/dev/null', `${web}:86/?${long}[1-1500]`);
  const folder = join(log, '..');
  await until('the old file stays beside the new one', 10_000, () => {
    const files = readdirSync(folder);
    const sizes = files.map((file) => `${file} ${statSync(join(folder, file)).size}`);
    return Promise.resolve(files.length === 2 ? true : sizes.join(', '));
  });
});

test.run();
