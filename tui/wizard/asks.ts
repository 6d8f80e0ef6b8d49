/** What the wizard has the daemon do, and what came of it. */
import type { MemberTest, Trial } from '../../appliance/api/contract.js';
import type { Call, Client } from '../../appliance/cli/client.js';
import { CliError } from '../../appliance/cli/exit-codes.js';
import type { JsonMap } from '../config/schema.js';
import { checkedBy, type Feed } from '../feed.js';
import type { WizardAnswer } from './keys.js';
import type { WizardStep } from './wizard.js';

export class WizardAsks {
  readonly #actor: Client;
  readonly #feed: Pick<Feed, 'firstUser'>;
  readonly #tell: (answer: WizardAnswer) => void;

  constructor(actor: Client, feed: Pick<Feed, 'firstUser'>, tell: (answer: WizardAnswer) => void) {
    this.#actor = actor;
    this.#feed = feed;
    this.#tell = tell;
  }

  async check(document: JsonMap, serial: number): Promise<void> {
    const check = await checkedBy(this.#actor, document);
    this.#tell({ about: 'check', serial, check });
  }

  async trial(json: JsonMap, serial: number): Promise<void> {
    const call = { method: 'POST', path: '/v1/config/trial', json } as const;
    const trial = await this.#actor.json<Trial>(call).catch(sentences);
    this.#tell({ about: 'trial', serial, trial });
  }

  async steps(steps: readonly WizardStep[]): Promise<void> {
    const values: unknown[] = [];
    let problem: string | null = null;
    for (const { call, user } of steps) {
      try {
        const made =
          user === undefined
            ? this.#actor.json<unknown>(call)
            : this.#feed.firstUser(call, user.name, user.password);
        values.push(await made);
      } catch (error) {
        problem = sentences(error);
        break;
      }
    }
    this.#tell({ about: 'steps', made: values.length, problem, values });
  }

  async test(call: Call): Promise<void> {
    const test = await this.#actor.json<MemberTest>(call).catch(sentences);
    this.#tell({ about: 'test', test });
  }
}

/** Of the daemon's refusal; anything else is a defect. */
function sentences(error: unknown): string {
  if (!(error instanceof CliError)) throw error;
  const { details = [] } = error.body.error;
  return [error.message, ...details.map(({ path, message }) => `${path}: ${message}`)].join(' ');
}
