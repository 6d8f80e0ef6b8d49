/**
 * What an agent says: HAProxy's agent-check format (HAProxy configuration manual, "agent-check"):
 * one line of words between blanks and commas, in any order, with a description after `#`.
 * `cpu:NN%` is an addition of Weir's for the algorithm custom.
 *
 * Invariants:
 * - The parser never throws, and what it keeps of a line is bounded.
 * - What a line does not speak of stays as the agent said it before; only the CPU share is a
 *   measurement, and holds no longer than its line.
 */

/** The line and what its words mean; a key is there only when the line speaks of it. */
export interface AgentWords {
  readonly administrative?: 'ready' | 'drain' | 'maint';
  readonly operating?: OperatingWord;
  readonly weightPercent?: number;
  readonly maxConnections?: number;
  readonly cpuPercent?: number;
  /** After `#`. */
  readonly description?: string;
}

type OperatingWord = 'up' | 'down' | 'fail' | 'stopped';

/** What an agent has said so far. */
export interface AgentStatus {
  /** All of it together. */
  readonly state: 'up' | 'drain' | 'maint' | 'down';
  /** Of the configured weight; undefined when the agent never spoke of it. */
  readonly weightPercent: number | undefined;
  /** Of its last line only. */
  readonly cpuPercent: number | undefined;
  readonly maxConnections: number | undefined;
  /** `agent says drain`. */
  readonly reason: string;
  readonly administrative: 'ready' | 'drain' | 'maint';
  readonly operating: OperatingWord;
}

/** Characters of the line that are read; HAProxy's own agents send far less. */
const MOST_LINE = 1024;
const MOST_DESCRIPTION = 120;
/** HAProxy's own limit is 256 times the weight. */
const MOST_PERCENT = 25_600;
const MOST_CONNECTIONS = 0x7fff_ffff;

const administrative = ['ready', 'drain', 'maint'] as const;
const operating = ['up', 'down', 'fail', 'stopped'] as const;

/** The first line of an answer. The error is a sentence that names the word. */
export function parseAgentLine(
  text: string,
): { readonly words: AgentWords } | { readonly error: string } {
  const line = text.split(/[\r\n]/, 1)[0] ?? '';
  if (line.length > MOST_LINE) return { error: `the agent's line is longer than ${MOST_LINE}` };
  const sharp = line.indexOf('#');
  const list = (sharp < 0 ? line : line.slice(0, sharp))
    .split(/[ \t,]+/)
    .filter((word) => word !== '');
  const description = sharp < 0 ? '' : printable(line.slice(sharp + 1), MOST_DESCRIPTION);
  if (list.length === 0) return { error: 'the agent said nothing' };
  let words: AgentWords = description === '' ? {} : { description };
  for (const word of list) {
    const meaning = meaningOf(word.toLowerCase());
    if (meaning === null) {
      return {
        error: `the agent said ${JSON.stringify(printable(word, 40))}, which is no word of an agent`,
      };
    }
    words = { ...words, ...meaning };
  }
  return { words };
}

function meaningOf(word: string): AgentWords | null {
  const admin = administrative.find((one) => one === word);
  if (admin !== undefined) return { administrative: admin };
  // HAProxy's agents in the field say both "fail" and "failed".
  const state = operating.find((one) => one === (word === 'failed' ? 'fail' : word));
  if (state !== undefined) return { operating: state };
  const percent = number(/^([0-9]{1,5})%$/.exec(word), MOST_PERCENT);
  if (percent !== null) return { weightPercent: percent };
  const connections = number(/^maxconn:([0-9]{1,10})$/.exec(word), MOST_CONNECTIONS);
  if (connections !== null) return { maxConnections: connections };
  const cpu = number(/^cpu:([0-9]{1,3})%$/.exec(word), 100);
  if (cpu !== null) return { cpuPercent: cpu };
  return null;
}

function number(match: RegExpExecArray | null, most: number): number | null {
  const value = Number(match?.[1]);
  return match !== null && value <= most ? value : null;
}

/** One line that is safe on a terminal. */
export function printable(text: string, most: number): string {
  const plain = text
    .replace(/[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]+/gu, ' ')
    .replace(/ +/g, ' ')
    .trim();
  const characters = [...plain];
  return characters.length <= most ? plain : `${characters.slice(0, most - 1).join('')}…`;
}

/** What holds after another line. */
export function afterAgentLine(before: AgentStatus | undefined, words: AgentWords): AgentStatus {
  const now = {
    administrative: words.administrative ?? before?.administrative ?? 'ready',
    operating: words.operating ?? before?.operating ?? 'up',
    weightPercent: words.weightPercent ?? before?.weightPercent,
    maxConnections: words.maxConnections ?? before?.maxConnections,
    cpuPercent: words.cpuPercent,
  };
  const state = stateOf(now);
  const said =
    state === 'up'
      ? [
          now.operating,
          ...(now.weightPercent === undefined ? [] : [`${now.weightPercent}%`]),
          ...(now.cpuPercent === undefined ? [] : [`cpu:${now.cpuPercent}%`]),
        ].join(' ')
      : state === 'down'
        ? now.operating
        : state;
  const why = words.description === undefined ? '' : `: ${words.description}`;
  return { ...now, state, reason: `agent says ${said}${why}` };
}

function stateOf(now: Pick<AgentStatus, 'administrative' | 'operating'>): AgentStatus['state'] {
  // Maintenance is the administrator's word and stands above what the member measures.
  if (now.administrative === 'maint') return 'maint';
  if (now.operating !== 'up') return 'down';
  return now.administrative === 'drain' ? 'drain' : 'up';
}
