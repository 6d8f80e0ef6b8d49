/**
 * Runs the dashboard: joins the model, the terminal and the daemon.
 *
 * Invariant: the terminal is given back before anything else is printed, at every end: by key, by
 * signal, when the terminal goes, and after a defect.
 */
import { Agent } from 'node:http';
import { Client } from '../appliance/cli/client.js';
import { ASSUMED } from './asked-size.js';
import { Feed } from './feed.js';
import type { Look } from './frame.js';
import { livePath } from './live.js';
import { loginOf } from './login.js';
import { firstModel, type Effect, type Model } from './model.js';
import { pathOf, wanted } from './topics.js';
import { step, type Action } from './step.js';
import { openTerminal, type Terminal } from './terminal.js';
import { view } from './view.js';
import { WizardAsks } from './wizard/asks.js';

export interface DashboardOptions {
  readonly socket: string;
  /** Of a session or token, from the start on; null: as whoever runs this. */
  readonly secret: string | null;
  readonly look: Look;
  /** As TERM names it. */
  readonly terminal: string;
  /** From the start on. */
  readonly mouse: boolean;
  /** Begins with the wizard as long as the unit has no users. */
  readonly firstSetUp: boolean;
  /** Whether there is a shell that could say `fg`. */
  readonly suspends: boolean;
}

export type RunDashboard = (options: DashboardOptions) => Promise<number>;

/** A daemon that is silent for so long is tried anew. */
const SILENCE_MS = 20_000;
/** A change may take as long: of a large document, or by ACME. */
const ACT_MS = 600_000;
/** A frame that old is drawn anew, for the ages in it. */
const TICK_MS = 1500;
/** Frames follow each other no faster, so that a flood of events costs one of them. */
const FRAME_MS = 80;

const NOT_SUSPENDED = 'Not suspended: whatever started the dashboard would wait for it. q leaves.';

const UNSIZED = `The terminal tells no size: ${ASSUMED.columns}x${ASSUMED.rows} is assumed; stty rows N cols N sets it.`;

/** By signal(7) and the shell's custom: 128 and the signal's number. */
const SIGNALS = { SIGHUP: 129, SIGINT: 130, SIGTERM: 143 } as const;

/** Resolves with the exit status once the person leaves. */
export const runDashboard: RunDashboard = (options) =>
  new Promise((resolve, reject) => {
    const { look, socket } = options;
    const client = new Client(socket, SILENCE_MS);
    const agent = new Agent({ keepAlive: true });
    const asker = new Client(socket, SILENCE_MS, agent);
    const actor = new Client(socket, ACT_MS);
    for (const one of [client, asker, actor]) one.secret = options.secret;
    let frame: NodeJS.Timeout | null = null;
    let soon: NodeJS.Immediate | null = null;
    let ended = false;
    let drawn = 0;

    const end = (status: number): void => {
      if (ended) return;
      ended = true;
      tidy();
      resolve(status);
    };
    const failed = (error: unknown): void => {
      if (ended) return;
      ended = true;
      tidy();
      reject(error instanceof Error ? error : new Error(String(error)));
    };
    const terminal: Terminal = openTerminal({
      ...{ name: options.terminal, look },
      onKey: (key) => guarded(() => dispatch({ type: 'key', key })),
      onMouse: (mouse) => guarded(() => dispatch({ type: 'mouse', mouse })),
      onSize: () => guarded(() => dispatch({ type: 'size', size: terminal.size() })),
      onUnsized: () => guarded(() => dispatch({ type: 'done', text: UNSIZED })),
      onGone: () => end(SIGNALS.SIGHUP),
    });
    let model: Model = firstModel({
      ...{ now: Date.now(), size: terminal.size(), look, socket },
      mouse: options.mouse,
      firstSetUp: options.firstSetUp,
    });
    terminal.mouse(options.mouse);
    const feed = new Feed({
      ...{ client, asker, actor },
      dispatch: (action) => guarded(() => dispatch(action)),
      wanted: () => wanted(model).map((topic) => ({ topic, path: pathOf(topic, model.place) })),
      live: () => (loginOf(model) === null ? livePath(model) : null),
      now: Date.now,
    });

    const asks = new WizardAsks(actor, feed, (answer) =>
      guarded(() => dispatch({ type: 'wizard', answer })),
    );

    /** A defect must not leave a terminal behind that nobody can use. */
    function guarded(act: () => void): void {
      if (ended) return;
      try {
        act();
      } catch (error) {
        failed(error);
      }
    }

    function dispatch(action: Action): void {
      const next = step(model, action);
      model = next.model;
      for (const effect of next.effects) perform(effect);
      feed.look();
      // A key is answered at once; keys that came together, as pasted text does, by one frame.
      const { type } = action;
      if (type === 'key' || type === 'size' || type === 'mouse') {
        soon ??= setImmediate(() => guarded(draw));
      } else {
        frame ??= setTimeout(() => guarded(draw), FRAME_MS);
      }
    }

    function draw(): void {
      if (frame !== null) clearTimeout(frame);
      if (soon !== null) clearImmediate(soon);
      frame = null;
      soon = null;
      drawn = Date.now();
      if (!ended) terminal.draw(view(model));
    }

    function perform(effect: Effect): void {
      switch (effect.type) {
        case 'quit':
          end(0);
          return;
        case 'suspend':
          suspend();
          return;
        case 'redraw':
          terminal.forget();
          return;
        case 'refresh':
          feed.refresh();
          return;
        case 'act':
          feed.act(effect.call, effect.done, effect.about).catch(failed);
          return;
        case 'check':
          if (effect.about === 'wizard') asks.check(effect.document, effect.serial).catch(failed);
          else feed.check(effect.document, effect.serial).catch(failed);
          return;
        case 'trial':
          asks.trial(effect.document, effect.serial).catch(failed);
          return;
        case 'steps':
          asks.steps(effect.steps).catch(failed);
          return;
        case 'test':
          asks.test(effect.call).catch(failed);
          return;
        case 'import':
          feed.import(effect).catch(failed);
          return;
        case 'export':
          feed.export(effect).catch(failed);
          return;
        case 'login':
          feed.login(effect.name, effect.password).catch(failed);
          return;
        case 'logout':
          feed.logout(effect.why).catch(failed);
          return;
        case 'save':
        case 'inspect':
        case 'restore':
          feed.file(effect).catch(failed);
          return;
        case 'mouse':
          terminal.mouse(effect.on);
          return;
      }
    }

    function suspend(): void {
      if (!options.suspends) {
        guarded(() => dispatch({ type: 'done', text: NOT_SUSPENDED }));
        return;
      }
      // Its own action is the one that stops.
      process.off('SIGTSTP', suspend);
      terminal.suspend(() =>
        guarded(() => {
          process.on('SIGTSTP', suspend);
          dispatch({ type: 'size', size: terminal.size() });
        }),
      );
    }

    // Only ages change by themselves; where answers come, they bring the time along.
    const tick = setInterval(() => {
      const now = Date.now();
      if (now - drawn >= TICK_MS) guarded(() => dispatch({ type: 'tick', now }));
    }, TICK_MS / 2);
    const handlers = Object.entries(SIGNALS).map(([signal, status]) => ({
      signal: signal as keyof typeof SIGNALS,
      heard: () => end(status),
    }));
    for (const { signal, heard } of handlers) process.on(signal, heard);
    process.on('SIGTSTP', suspend);
    process.on('uncaughtException', failed);
    process.on('unhandledRejection', failed);

    function tidy(): void {
      clearInterval(tick);
      if (frame !== null) clearTimeout(frame);
      if (soon !== null) clearImmediate(soon);
      feed.stop();
      agent.destroy();
      terminal.close();
      for (const { signal, heard } of handlers) process.off(signal, heard);
      process.off('SIGTSTP', suspend);
      process.off('uncaughtException', failed);
      process.off('unhandledRejection', failed);
    }

    draw();
    feed.run().catch(failed);
  });
