package atlas

import "slices"

var cities = []City{
	{"Amsterdam", 52.37, 4.90}, {"Barcelona", 41.39, 2.17}, {"Berlin", 52.52, 13.40}, {"Bilbao", 43.26, -2.93},
	{"Bordeaux", 44.84, -0.58}, {"Brussels", 50.85, 4.35}, {"Budapest", 47.50, 19.04}, {"Copenhagen", 55.68, 12.57},
	{"Frankfurt", 50.11, 8.68}, {"Gdansk", 54.35, 18.65}, {"Genoa", 44.41, 8.93}, {"Hamburg", 53.55, 9.99},
	{"Krakow", 50.06, 19.94}, {"Lisbon", 38.72, -9.14}, {"Ljubljana", 46.05, 14.51}, {"Lyon", 45.76, 4.84},
	{"Madrid", 40.42, -3.70}, {"Marseille", 43.30, 5.37}, {"Milan", 45.46, 9.19}, {"Munich", 48.14, 11.58},
	{"Nantes", 47.22, -1.55}, {"Naples", 40.85, 14.27}, {"Paris", 48.86, 2.35}, {"Porto", 41.15, -8.61},
	{"Poznan", 52.41, 16.93}, {"Prague", 50.08, 14.44}, {"Rome", 41.90, 12.50}, {"Rotterdam", 51.92, 4.48},
	{"Stuttgart", 48.78, 9.18}, {"Toulouse", 43.60, 1.44}, {"Valencia", 39.47, -0.38}, {"Venice", 45.44, 12.32},
	{"Vienna", 48.21, 16.37}, {"Warsaw", 52.23, 21.01}, {"Zagreb", 45.81, 15.98}, {"Zurich", 47.38, 8.54},
}

// ways are the roads by their ends' slugs.
var ways = [][2]string{
	{"amsterdam", "rotterdam"}, {"amsterdam", "hamburg"}, {"amsterdam", "frankfurt"}, {"rotterdam", "brussels"},
	{"brussels", "paris"}, {"brussels", "frankfurt"}, {"paris", "nantes"}, {"paris", "bordeaux"}, {"paris", "lyon"},
	{"paris", "stuttgart"}, {"nantes", "bordeaux"}, {"bordeaux", "bilbao"}, {"bordeaux", "toulouse"}, {"bilbao", "madrid"},
	{"madrid", "lisbon"}, {"madrid", "valencia"}, {"madrid", "porto"}, {"porto", "lisbon"}, {"valencia", "barcelona"},
	{"barcelona", "toulouse"}, {"barcelona", "marseille"}, {"toulouse", "marseille"}, {"marseille", "lyon"}, {"marseille", "genoa"},
	{"lyon", "zurich"}, {"zurich", "stuttgart"}, {"zurich", "milan"}, {"zurich", "munich"}, {"milan", "genoa"}, {"milan", "venice"},
	{"genoa", "rome"}, {"rome", "naples"}, {"rome", "venice"}, {"venice", "ljubljana"}, {"ljubljana", "zagreb"}, {"ljubljana", "vienna"},
	{"zagreb", "budapest"}, {"budapest", "vienna"}, {"budapest", "krakow"}, {"vienna", "prague"}, {"vienna", "munich"},
	{"munich", "stuttgart"}, {"munich", "prague"}, {"stuttgart", "frankfurt"}, {"frankfurt", "hamburg"}, {"frankfurt", "prague"},
	{"prague", "berlin"}, {"prague", "krakow"}, {"berlin", "hamburg"}, {"berlin", "poznan"}, {"hamburg", "copenhagen"},
	{"poznan", "warsaw"}, {"poznan", "gdansk"}, {"gdansk", "warsaw"}, {"warsaw", "krakow"},
}

var (
	bySlug = map[string]City{}
	roads  []Road
	leads  = map[string][]Road{} // away from a city
)

func init() {
	for _, c := range cities {
		bySlug[c.Slug()] = c
	}
	for _, w := range ways {
		r := Road{bySlug[w[0]], bySlug[w[1]]}
		roads = append(roads, r)
		leads[w[0]] = append(leads[w[0]], r)
		leads[w[1]] = append(leads[w[1]], Road{r.To, r.From})
	}
	slices.SortFunc(roads, func(a, b Road) int { return int(b.Length() - a.Length()) })
}
