/** What a client of the metrics accepts (RFC 9110 §12.5). Pure. */
import type { Format } from './format.js';

interface Weighed {
  readonly value: string;
  readonly parameters: ReadonlyMap<string, string>;
  readonly weight: number;
}

function weighed(header: string | undefined): Weighed[] {
  return (header ?? '').split(',').flatMap((part) => {
    const [value = '', ...rest] = part.split(';').map((word) => word.trim().toLowerCase());
    if (value === '') return [];
    const parameters = new Map(
      rest.map((word) => {
        const at = word.indexOf('=');
        return [word.slice(0, at), word.slice(at + 1).replaceAll('"', '')] as const;
      }),
    );
    const weight = Number(parameters.get('q') ?? 1);
    return [{ value, parameters, weight: weight >= 0 && weight <= 1 ? weight : 0 }];
  });
}

/** OpenMetrics for those who ask for it and do not like text better; who accepts neither gets text. */
export function formatFor(accept: string | undefined): Format {
  let [open, text] = [0, 0];
  for (const { value, parameters, weight } of weighed(accept)) {
    const version = parameters.get('version');
    if (value === 'application/openmetrics-text') {
      if (version === undefined || version === '1.0.0') open = Math.max(open, weight);
    } else if (value === 'text/plain' && (version === undefined || version === '0.0.4')) {
      text = Math.max(text, weight);
    }
  }
  return open > 0 && open >= text ? 'openmetrics' : 'text';
}

export function acceptsGzip(acceptEncoding: string | undefined): boolean {
  const accepted = weighed(acceptEncoding);
  const said =
    accepted.find(({ value }) => value === 'gzip') ?? accepted.find(({ value }) => value === '*');
  return said !== undefined && said.weight > 0;
}
